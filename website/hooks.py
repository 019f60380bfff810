"""What MkDocs calls while it builds the site; mkdocs.yml names this file."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

# MkDocs finds only this file's folder; the rest of the project lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mkdocs.structure.files import File, Files

from website.flags import flags_page
from website.links import PROJECT, relink, source_of
from website.mechanisms import ROOT, read_mechanisms
from website.nav import navigation
from website.pages import load_table, mechanism_page, table_page
from website.text import join_chinese

HOME = ("index.md", "index.zh-CN.md")
ALONE = (*HOME, "faq.md", "faq.zh-CN.md")
TEXTS = ("README.md", "README.zh-CN.md", *PROJECT)


@cache
def made_pages() -> dict[str, str]:
    """Path on the site -> Markdown, of all pages that are made from the source."""
    mechanisms, table = read_mechanisms(), load_table()
    pages = {one.page: mechanism_page(one, table) for one in mechanisms}
    pages["mechanisms/index.md"] = table_page(mechanisms, table)
    pages["reference/flags.md"] = flags_page()
    for page in (*HOME, *(f"project/{name}" for name in PROJECT)):
        pages[page] = (ROOT / source_of(page)).read_text(encoding="utf-8")
    return pages


def on_config(config: Any) -> Any:
    """Set the navigation, with the pages that are there."""
    names = [one.page for one in read_mechanisms()]
    config.nav = navigation(ROOT / "docs", names)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the source."""
    for path in made_pages():
        files.append(File(path, config.docs_dir, config.site_dir, config.use_directory_urls))
    return files


def on_page_read_source(page: Any, config: Any) -> str | None:
    """The text of a page that no file has; the plugin of languages makes File objects anew, so that
    they cannot carry it.
    """
    return made_pages().get(page.file.src_uri)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Make links hold that are written for GitHub, and lines of Chinese join."""
    path = page.file.src_uri
    if path in ALONE:
        page.meta["hide"] = ["navigation"]  # a column with one name in it
    if path in made_pages() and source_of(path) not in TEXTS:
        return markdown  # its links are those of the site
    return join_chinese(relink(without_languages(markdown), path))


def without_languages(markdown: str) -> str:
    """Leave out a first line that leads to the other language; the site has a menu for it."""
    first, _, rest = markdown.partition("\n")
    return rest if "README" in first and "·" in first else markdown
