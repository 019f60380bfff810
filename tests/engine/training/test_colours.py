"""Colours that are changed on the device are those of the loader, but for its eight bits."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from data.augment import adjust_hsv
from engine.training.colours import adjust_colours

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def changed(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    images = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    found = adjust_colours(images.to(memory_format=torch.channels_last), torch.tensor([factors]))
    return found[0].permute(1, 2, 0).double().numpy()


@pytest.mark.parametrize(
    "factors", [(1.0, 1.0, 1.0), (1.015, 1.7, 0.6), (0.985, 0.3, 1.4), (1.5, 1.0, 1.0)]
)
def test_colours_are_those_of_the_definition(factors: tuple[float, float, float]) -> None:
    wanted = []
    for pixel in COLOURS.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel.tolist())
        moved = hue * factors[0] % 1, min(saturation * factors[1], 1), min(value * factors[2], 1)
        wanted.append(colorsys.hsv_to_rgb(*moved))
    np.testing.assert_allclose(changed(COLOURS, factors).reshape(-1, 3), wanted, atol=1e-5)


def test_they_are_close_to_those_of_the_loader() -> None:
    image = np.ascontiguousarray(COLOURS[..., ::-1])
    adjust_hsv(image, (1.01, 1.3, 0.8))
    difference = changed(COLOURS, (1.01, 1.3, 0.8)) * 255 - image
    assert np.abs(difference).mean() < 1.5
    # OpenCV's hue has steps of 2 degrees, and is rounded once and cut off once: 3 of 60 degrees.
    assert np.abs(difference).max() < 255 * 3 / 60


def test_each_image_has_its_own_factors_and_grey_stays_grey() -> None:
    images = torch.full((2, 3, 4, 4), 0.4)
    found = adjust_colours(images, torch.tensor([[1.01, 1.5, 0.5], [1.0, 1.0, 3.0]]))
    torch.testing.assert_close(found[0], torch.full((3, 4, 4), 0.2))
    torch.testing.assert_close(found[1], torch.ones(3, 4, 4))
    black = torch.zeros(1, 3, 2, 2)
    assert torch.equal(adjust_colours(black, torch.ones(1, 3)), black)
