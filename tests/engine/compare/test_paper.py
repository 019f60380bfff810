"""Figures for a paper: lines that differ without colour, in files of the stated width."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest

from engine.compare.paper import (
    COLOURS,
    DPI,
    PaperStyle,
    add_legend,
    bar_style,
    legend_name,
    line_style,
    new_panels,
    save_for_paper,
)


def lightness(colour: str) -> float:
    """How light a colour is in grey, 0..1 (Rec. 709, without gamma)."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_lines_differ_without_colour() -> None:
    looks = [
        (str(line_style(n, 100)["linestyle"]), line_style(n, 100)["marker"]) for n in range(63)
    ]
    assert len(set(looks)) == 63
    first = [lightness(colour) for colour in COLOURS[:4]]
    assert min(abs(one - other) for one, other in itertools.pairwise(first)) > 0.05


def test_bars_differ_without_colour() -> None:
    patterns = [bar_style(n)["hatch"] for n in range(7)]
    assert len(set(patterns) - {""}) == 5
    # Bars without a pattern differ in lightness.
    plain = [lightness(bar_style(n)["facecolor"]) for n in range(7) if not bar_style(n)["hatch"]]
    assert len(plain) == 2
    assert abs(plain[0] - plain[1]) > 0.3


@pytest.mark.parametrize(
    "name", ["YOLOv5n with a module at every place of the neck", "检测器" * 20]
)
def test_a_long_name_stays_in_the_figure(name: str) -> None:
    style = PaperStyle(3.3, 8.0)
    figure, (axes,) = new_panels(style, [1.0])
    axes.plot([0, 1], [0, 1], label=legend_name(name, "(mAP50 53.0 ± 4.2 %)", style))
    add_legend(figure, axes, style)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= 0
    assert axes.get_tightbbox().y0 >= box.y1
    # The legend takes no room from the panel.
    assert axes.get_window_extent().height > 0.7 * figure.dpi
    assert "(mAP50 53.0 ± 4.2 %)" in figure.legends[0].get_texts()[0].get_text()


def test_files_have_the_width_and_the_same_bytes_again(tmp_path: Path) -> None:
    style = PaperStyle(2.0, 7.0)
    contents = []
    for _ in range(2):
        figure, (axes,) = new_panels(style, [1.0])
        axes.plot([0, 1], [0, 1], **line_style(0, 2))
        paths = save_for_paper(figure, tmp_path, "line", style)
        contents.append([path.read_bytes() for path in paths])
    assert [path.name for path in paths] == ["line.png", "line.pdf", "line.svg"]
    assert contents[0] == contents[1]
    png, pdf, svg = contents[0]
    assert struct.unpack(">II", png[16:24]) == (2 * DPI, DPI)
    assert b"/MediaBox [ 0 0 144 72 ]" in pdf
    assert b"/Type3" not in pdf  # which publishers refuse
    assert b'width="144pt"' in svg
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
