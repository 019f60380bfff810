"""The built site in a browser: pages render, nothing is fetched from elsewhere, search finds.

Needs MkDocs (docs/requirements.txt) in MKDOCS or on the path, or a built site in BUILT_SITE, and a
Chromium; .ci/run has them.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.browser import CHROMIUM, Browser
from tests.browser import browser as start_browser
from utils.files import ROOT

pytestmark = pytest.mark.slow
INDEX = "search/search_index.json"
# Whether a table shows another number of headings than of cells.
SHIFTED = """[...document.querySelectorAll("article table")].some((table) => {
  const heads = [...table.querySelectorAll("thead th")].filter((one) => one.offsetParent);
  return heads.length && heads.length !== table.tBodies[0].rows[0].cells.length;
})"""
LOADS = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Server(ThreadingHTTPServer):
    """Serves the site.

    Attributes:
        index: what pages get for the index of the search, None for the site's own.
    """

    index: bytes | None = None


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    server: Server

    def do_GET(self) -> None:
        """Send a file."""
        if self.server.index is None or not self.path.endswith(INDEX):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(self.server.index)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Links(HTMLParser):
    """The links, the loaded files and the names of places of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag leads to."""
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (
            tag in LOADS
            and LOADS[tag] in given
            and given.get("rel") not in ("canonical", "alternate")
        ):
            self.loads.append(given[LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built site."""
    if built := os.environ.get("BUILT_SITE"):
        return Path(built)
    mkdocs = os.environ.get("MKDOCS") or shutil.which("mkdocs")
    if not mkdocs:
        pytest.skip("no mkdocs: pip install -r docs/requirements.txt")
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert "WARNING" not in run.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Links]:
    """Address below the site's root -> what the page has."""
    files = sorted(site.rglob("*.html"))
    return {
        path.relative_to(site).as_posix(): Links(path.read_text(encoding="utf-8"))
        for path in files
        if path.name != "404.html"
    }


@pytest.fixture(scope="module")
def server(site) -> Iterator[Server]:
    one = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


@pytest.fixture(scope="module")
def address(server) -> str:
    """Where the site is served."""
    return f"http://127.0.0.1:{server.server_address[1]}/"


def is_copy(page: str, pages: dict[str, Links]) -> bool:
    """Whether a page of the Chinese site has the English text, as it has the same headings."""
    english = page.removeprefix("zh-CN/")
    return page not in (english, "zh-CN/mechanisms/index.html") and (
        pages[page].names == pages[english].names
    )


@pytest.fixture
def without_search(server, site) -> Iterator[None]:
    """The search finds nothing; to read its index takes a page more time than all the rest."""
    index = json.loads((site / INDEX).read_text(encoding="utf-8"))
    server.index = json.dumps({**index, "docs": []}).encode()
    yield
    server.index = None


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium")
    with start_browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one


def file_of(site: Path, place: str) -> Path:
    """The file that a path below the site's root is served from."""
    path = site / unquote(place)
    return path / "index.html" if path.is_dir() else path


def test_links_hold(site, pages):
    """Every internal link leads to a page, and to a place that is there."""
    broken = []
    for page, found in pages.items():
        for link in [*found.links, *found.loads]:
            whole = urlsplit(urljoin(f"http://site/{page}", link))
            if whole.netloc != "site" or whole.scheme != "http":
                continue
            target = file_of(site, whole.path.lstrip("/"))
            if not target.is_file():
                broken.append((page, link))
            elif whole.fragment and target.suffix == ".html":
                there = pages.get(target.relative_to(site).as_posix())
                names = there.names if there else set()
                if unquote(whole.fragment) not in names and not whole.fragment.startswith("__"):
                    broken.append((page, link))
    assert not broken


def test_no_page_loads_from_elsewhere(pages):
    foreign = {
        (page, load)
        for page, found in pages.items()
        for load in found.loads
        if re.match(r"(https?:)?//", load)
    }
    assert not foreign


def test_every_page_renders_and_asks_nobody_else(browser, without_search, address, pages):
    visited = [page for page in pages if not is_copy(page, pages)]
    assert len(visited) > 90
    assert "zh-CN/mechanisms/index.html" in visited
    for page in visited:
        browser.open(address + page)
        text = browser.run("document.querySelector('article').innerText")
        assert len(text) > 100, page
        assert browser.run("document.querySelector('h1') !== null"), page
        wide = "document.documentElement.scrollWidth <= window.innerWidth + 1"
        assert browser.run(wide), f"{page} is wider than the window"
        assert not browser.run(SHIFTED), f"{page}: headings stand over other columns"
        foreign = [one for one in browser.requests() if not one.startswith(address)]
        assert not foreign, (page, foreign)
        # The menu of languages looks for a map of the site beside each translation, which is not
        # there; its links then lead to the page itself.
        faults = [one for one in browser.complaints() if not one.endswith("sitemap.xml")]
        assert not faults, (page, faults)


@pytest.mark.parametrize(
    ("start", "words", "page"),
    [
        ("", "SimAM", "mechanisms/SimAM/"),
        ("", "interrupted run", "runs/"),
        ("", "out of memory", "faq/"),
        ("zh-CN/", "SimAM", "mechanisms/SimAM/"),
        ("zh-CN/", "显存不足", "zh-CN/faq/"),
        ("zh-CN/", "预训练", "zh-CN/weights/"),  # stands within sentences
    ],
)
def test_search_finds(browser, address, start, words, page):
    browser.open(address + start + "index.html")
    browser.run("document.querySelector('label[for=__search]').click()")
    browser.run(
        "{const box = document.querySelector('.md-search__input'); box.focus();"
        f" box.value = '{words}'; box.dispatchEvent(new Event('keyup', {{bubbles: true}}));"
        " box.dispatchEvent(new Event('input', {bubbles: true}));}"
    )
    results = "[...document.querySelectorAll('.md-search-result__link')].map(one => one.pathname)"
    found = browser.waits_for(f"({results}).includes('/{page}')")
    assert found, browser.run(results)
    assert not [one for one in browser.requests() if not one.startswith((address, "blob:"))]


def test_the_table_sorts_and_filters(browser, address):
    browser.open(address + "mechanisms/CBAM/index.html")
    links = "[...document.querySelectorAll('article a')]"
    table = browser.run(f"{links}.find(one => one.textContent === 'All modules').href")
    browser.open(table)
    first = "document.querySelector('.mechanisms tbody tr:not([hidden])').innerText"
    names = "[...document.querySelectorAll('.mechanisms th')].map(one => one.innerText)"
    column = browser.run(names).index("parameters")
    head = f"document.querySelectorAll('.mechanisms th')[{column}].click()"
    browser.run(head)
    assert re.search(r"\b0\b", browser.run(first))  # SimAM has none
    browser.run(head)
    assert browser.run(first).startswith("MultiSEAM")
    browser.run(
        "{const box = document.querySelector('.mechanisms input'); box.value = 'simam';"
        " box.dispatchEvent(new Event('input'));}"
    )
    shown = "document.querySelectorAll('.mechanisms tbody tr:not([hidden])').length"
    assert browser.run(shown) == 1
    assert browser.run(first).startswith("SimAM")
