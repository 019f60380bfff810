"""Text of strangers in Markdown and in LaTeX, shown literally in one line."""

from __future__ import annotations

# Signs that LaTeX would interpret or that its default fonts lack.
LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it literally."""
    escaped = "".join(
        f"\\{sign}" if sign in "\\`*_{}[]()#|~" else sign for sign in " ".join(text.split())
    )
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX shows it literally."""
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in " ".join(text.split()))
