"""Figures become small files whose text has its letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from engine.drawing.figures import make_figure
from engine.explain.saving import DPI, fit_pixels, save_both


def test_both_files_are_written_and_the_png_has_few_colours(tmp_path: Path) -> None:
    from PIL import Image

    figure = make_figure(2.0, 1.0, DPI)
    noise = np.random.default_rng(0).integers(0, 255, (50, 100, 3), np.uint8)
    figure.subplots().imshow(noise)
    image, document = save_both(figure, tmp_path / "a.b")
    assert (image.name, document.name) == ("a.b.png", "a.b.pdf")
    with Image.open(image) as picture:
        assert picture.mode == "P"
        assert picture.size == (2 * DPI, DPI)
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    content = document.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/TrueType" in content or b"/CIDFontType2" in content
    assert b"/Type3" not in content


def test_images_are_scaled_to_their_panel_and_never_up() -> None:
    image = np.zeros((1000, 2000, 3), np.uint8)
    assert fit_pixels(image, 2.0).shape == (165, 330, 3)
    small = np.zeros((10, 20), np.float32)
    assert fit_pixels(small, 2.0) is small


def test_a_small_bright_spot_keeps_its_colours(tmp_path: Path) -> None:
    from PIL import Image

    down, across = np.mgrid[:300, :400]
    weight = np.exp(-((down - 150) ** 2 + (across - 200) ** 2) / 50)[..., None]
    ground = np.random.default_rng(0).integers(60, 120, (300, 400, 3))
    drawn = (ground * (1 - weight) + weight * np.array([255, 220, 90])).astype(np.uint8)
    figure = Figure((4.0, 3.0), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.imshow(drawn, aspect="auto", interpolation="nearest")
    with Image.open(save_both(figure, tmp_path / "a")[0]) as picture:
        found = np.asarray(picture.convert("RGB")).astype(int)
    # Where each colour counts by how often it is there, the spot's centre is off by 90.
    assert np.abs(found - drawn)[147:154, 197:204].max() < 45
