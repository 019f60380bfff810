"""report.html in a real browser: it renders and sorts, and it requests and runs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.report.write import write_report
from tests.ablation.fake import make_study
from tests.browser import CHROMIUM, browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium")]
NASTY = "<script>document.title='run'</script><img src=http://example.com/x.png>@neck"
COLUMN = """[...document.querySelectorAll("h2")]
    .find(head => head.textContent === "All figures").nextElementSibling
    .querySelector("tbody").innerText.split("\\n").map(row => row.split("\\t")[%d])"""
CLICK = """[...document.querySelectorAll("table.sortable th button")]
    .find(head => head.textContent === %r).click()"""

HEIGHT = """[...document.querySelectorAll(".sticky tbody th")]
    .find(head => head.innerText === %r).clientHeight"""
SIZE = """text => { const scale = text.getScreenCTM();
    return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b) }"""


def test_in_a_browser(tmp_path: Path) -> None:
    effects = {
        f"Module{number}@neck.P{3 + number % 3}": 0.004 * (number - 3) for number in range(6)
    }
    effects["CoordAttention@neck"] = 0.012
    write_report(make_study({NASTY: 0.0, **effects}), tmp_path / "study")
    url = f"file://{tmp_path / 'study' / 'report.html'}"
    with browser(tmp_path) as tab:
        for width, theme in ((1200, "light"), (390, "dark")):
            tab.open(url, width, theme)
            assert tab.run("document.title").startswith("Ablation of")
            assert (
                tab.run("document.documentElement.scrollWidth") == width
            )  # no sideways scrolling of the page
            if width > 700:  # an ordinary name is in one line
                assert tab.run(HEIGHT % "CoordAttention@neck") == tab.run(HEIGHT % "A/A")
            kind, other = ("wide", "narrow") if width > 700 else ("narrow", "wide")
            shown = (
                f"[...document.querySelectorAll('.{kind} svg')].filter(svg => svg.clientHeight >"
                " 60).length"
            )
            assert tab.run(shown) == 3
            assert tab.run(shown.replace(kind, other)) == 0
            smallest = f"Math.min(...[...document.querySelectorAll('.{kind} svg text')].map(SIZE))"
            assert tab.run(smallest.replace("SIZE", SIZE)) > 8
            dark = tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 25, 31)"
            assert dark == (theme == "dark")
            assert tab.run(
                f"getComputedStyle(document.querySelector('.{kind} svg text')).fill"
            ) == ("rgb(228, 233, 238)" if dark else "rgb(27, 37, 48)")
            tab.run(CLICK % "difference")
            rows = tab.run(COLUMN % 3)
            assert rows[-1] == ""
            values = [float(text.replace("−", "-")) for text in rows[:-1]]
            assert values == sorted(values)
            assert len(values) == 9
            tab.run(CLICK % "difference")
            assert [float(text.replace("−", "-")) for text in tab.run(COLUMN % 3)[:-1]] == values[
                ::-1
            ]
            tab.run(CLICK % "arm")
            names = tab.run(COLUMN % 1)
            assert names == sorted(names, key=str.lower)
            assert tab.requests() == [url]
            assert tab.complaints() == []


def test_the_test_would_see_a_request(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('no'); nonsense()</script>"
    )
    with browser(tmp_path) as tab:
        tab.open(f"file://{page}")
        assert tab.run("1 + 1") == 2
        assert "http://127.0.0.1:9/x.png" in tab.requests()
        assert len(tab.complaints()) >= 2


def test_the_policy_blocks_injected_content(tmp_path: Path) -> None:
    """Even what is not escaped neither runs nor is fetched."""
    write_report(make_study({"SimAM@neck": 0.0}), tmp_path / "study")
    page = tmp_path / "study" / "report.html"
    text = page.read_text()
    hole = (
        "<script>document.title = 'run'</script><img src='http://127.0.0.1:9/x.png'"
        " onerror='document.title = 1'>"
    )
    page.write_text(text.replace("<h1>", hole + "<h1>", 1))
    with browser(tmp_path) as tab:
        tab.open(f"file://{page}")
        assert tab.run("document.title").startswith("Ablation of")
        assert any("Content Security Policy" in text for text in tab.complaints())
