"""Links of Markdown files that are read on GitHub and on the site alike.

Pages of the site come from three places: docs/, README as the first page, and the other Markdown
files of the root as pages in project/. What else a file links to is no page, so that its name stays
as text.
"""

from __future__ import annotations

import posixpath
import re

from website.mechanisms import ROOT

PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "LOG.md", "SECURITY.md")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.S | re.M)


def site_path(path: str) -> str:
    """The page or file of the site that a file of the project becomes, "" if none does.

    Args:
        path: from the project's root.
    """
    if path in ("README.md", "README.zh-CN.md"):
        return path.replace("README", "index")
    if path in PROJECT:
        return f"project/{path}"
    if path.startswith("docs/") and (ROOT / path).is_file():
        return path.removeprefix("docs/")
    return ""


def source_of(page: str) -> str:
    """The file of the project, from its root, that a page of the site comes from."""
    if page in ("index.md", "index.zh-CN.md"):
        return page.replace("index", "README")
    name = page.removeprefix("project/")
    return name if page != name and name in PROJECT else f"docs/{page}"


def relink(markdown: str, page: str) -> str:
    """Make the links of a page hold on the site.

    Args:
        markdown: the text of the file that the page comes from.
        page: its path on the site, such as measured.md.

    Returns:
        The text, in which links lead to pages of the site; other links to files are plain text.
    """
    source = posixpath.dirname(source_of(page))
    here = posixpath.dirname(page)

    def moved(found: re.Match[str]) -> str:
        image, text, target = found.groups()
        path, mark, part = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return found[0]
        there = site_path(posixpath.normpath(posixpath.join(source, path)))
        if not there:
            return text
        return f"{image}[{text}]({posixpath.relpath(there, here or '.')}{mark}{part})"

    parts = FENCE.split(markdown)
    return "".join(part if FENCE.fullmatch(part) else LINK.sub(moved, part) for part in parts)
