"""From matplotlib's SVG file to an element of a page."""

from __future__ import annotations

from ablation.report.drawing import COLORS, embed

DOCUMENT = f"""<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="662.4pt" height="100pt"
  viewBox="0 0 662.4 100" xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><x/></metadata>
 <defs><style type="text/css">*{{stroke-linejoin: round}}</style></defs>
 <g id="line_1"><path d="M 1.23456 2 L 3 4.5" clip-path="url(#box)"
   style="fill: {COLORS["ink"]}; stroke: #ff0000"/></g>
 <use xlink:href="#mark" style="stroke: {COLORS["helps"]}"/>
 <text style="font-size: 8px; font-family: 'DejaVu Sans', sans-serif; fill: {COLORS["ink"]}"
  >#010101 &lt;b&gt;</text>
</svg>
"""


def test_an_element_brings_nothing_that_the_page_has() -> None:
    svg = embed(DOCUMENT, "forest")
    assert svg.startswith("<svg ")
    assert 'viewBox="0 0 662.4 100"' in svg
    for word in ("<?xml", "DOCTYPE", "metadata", "<style", 'pt"', "font-family"):
        assert word not in svg


def test_ids_and_what_refers_to_them_get_the_prefix() -> None:
    svg = embed(DOCUMENT, "forest")
    assert '<g id="forest-line_1">' in svg
    assert 'clip-path="url(#forest-box)"' in svg
    assert 'xlink:href="#forest-mark"' in svg


def test_colours_are_the_pages_and_text_is_not_touched() -> None:
    svg = embed(DOCUMENT, "forest")
    assert 'style="fill: var(--ink); stroke: #ff0000"' in svg
    assert 'style="stroke: var(--helps)"' in svg
    assert 'style="font-size: 8px; fill: var(--ink)"' in svg
    assert ">#010101 &lt;b&gt;</text>" in svg


def test_paths_have_two_decimals() -> None:
    assert 'd="M 1.23 2 L 3 4.5"' in embed(DOCUMENT, "forest")
