"""Text of strangers stays text in Markdown and in LaTeX."""

from __future__ import annotations

from utils.markup import escape_latex, escape_markdown


def test_markdown_shows_text_literally() -> None:
    assert escape_markdown("a|b\n*c* <d> &") == r"a\|b \*c\* &lt;d&gt; &amp;"


def test_latex_shows_text_literally() -> None:
    assert escape_latex("a_b & 50% ± $x^2$\\") == (
        r"a\_b \& 50\% $\pm$ \$x\textasciicircum{}2\$\textbackslash{}"
    )
