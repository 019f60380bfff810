"""Figures for a paper: lines that differ without colour, in files of the stated width."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

from engine.compare.paper import COLOURS, DPI, PaperStyle, line_style, new_panels, save_for_paper


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
