from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.sources.memory import open_any
from utils.errors import UserError

BLUE = (255, 0, 0)  # BGR


def blue(height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), BLUE, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), blue())
    cv2.imwrite(str(tmp_path / "sub" / "a.png"), blue())
    return tmp_path


@pytest.mark.parametrize(
    ("source", "rgb"),
    [
        (blue(), False),
        (blue()[..., ::-1], True),
        (np.dstack([blue(), np.zeros((20, 30), np.uint8)]), False),
        (blue().transpose(2, 0, 1), False),
        (Image.fromarray(blue()[..., ::-1].copy()), False),
        (Image.fromarray(blue()[..., ::-1].copy()), True),
        (Image.fromarray(blue()[..., ::-1].copy()).convert("P"), False),
        (torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 20, 30), False),
        (torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 20, 30), True),
    ],
)
def test_every_kind_becomes_bgr(source, rgb):
    (frame,) = open_any(source, rgb=rgb)
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert np.array_equal(frame.image, blue())
    assert (frame.path, frame.name, frame.item, frame.items) == ("image0.jpg", "image0", 1, 1)


def test_gray_becomes_colour():
    (frame,) = open_any(np.full((9, 12), 7, np.uint8))
    assert frame.image.shape == (9, 12, 3)
    assert (frame.image == 7).all()


def test_exif_turns_pillow_images(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(blue()).save(tmp_path / "turned.jpg", exif=exif)
    (memory,) = open_any(Image.open(tmp_path / "turned.jpg"))
    (file,) = open_any(tmp_path / "turned.jpg")
    assert memory.image.shape == file.image.shape == (30, 20, 3)


def test_lists_of_all_sorts(folder):
    source = open_any(
        [str(folder / "a.png"), blue(5, 6), folder / "sub" / "a.png", torch.rand(2, 3, 8, 8)]
    )
    frames = list(source)
    assert [frame.name for frame in frames] == ["a", "image1", "a2", "image3", "image4"]
    assert [frame.item for frame in frames] == [1, 2, 3, 4, 5]
    assert {frame.items for frame in frames} == {5} == {source.items}
    assert frames[1].image.shape == (5, 6, 3)


def test_paths_are_as_in_detect(folder):
    assert [frame.name for frame in open_any(str(folder))] == ["a"]
    assert [frame.name for frame in open_any(folder)] == ["a"]
    assert len(list(open_any(str(folder / "**" / "*.png")))) == 2


def test_unreadable_files_in_lists_are_skipped(folder, capsys):
    (folder / "bad.jpg").write_bytes(b"\xff\xd8")
    source = open_any([str(folder / "bad.jpg"), blue()])
    assert len(list(source)) == 1
    assert [path for path, _ in source.skipped] == [str(folder / "bad.jpg")]
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "empty list"),
        (None, "NoneType is not an image"),
        ({"a": 1}, "dict is not an image"),
        (True, "bool is not an image"),
        (np.zeros((4, 4, 3)), "the array is float64"),
        (np.zeros((2, 4, 4, 3), np.uint8), "pass batches as a list"),
        (np.zeros((0, 4, 3), np.uint8), "the array is [0, 4, 3], so it is empty"),
        (np.zeros(0), "is empty"),
        (Image.new("RGB", (0, 4)), "the Pillow image is 0x4, so it is empty"),
        (np.full((4, 4, 3), 0.5), "multiply by 255"),
        (np.full((4, 4, 3), 200.0), "needed; use .astype('uint8')"),
        (np.full((4, 4, 3), 60000, np.uint16), "divide by 256"),
        (np.full((4, 4, 3), 70000), "divide by 70000"),
        (np.ones((4, 4, 3), bool), "the array is bool, but uint8 0..255 is needed; multiply by"),
        (np.full((4, 4, 3), np.nan), "multiply by 255"),
        (np.ones((4, 4), complex), "its values are no brightness"),
        (np.array([[None]]), "its values are no brightness"),
        (torch.rand(4, 6, 3), "use .permute(0, 3, 1, 2)"),
        (torch.rand(4, 4), "[B, 3, H, W]"),
        (torch.rand(1, 3, 4, 4) * 255, "divide by 255"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "divide by 255"),
        (["missing.png"], "no such file"),
    ],
)
def test_what_is_not_an_image_is_named(source, words):
    with pytest.raises(UserError) as caught:
        list(open_any(source))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_16_bit_pillow_image_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    (frame,) = open_any(Image.fromarray(shades))
    np.testing.assert_array_equal(frame.image[..., 0], shades >> 8)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_pillow_image_of_unknown_range_is_refused(mode: str) -> None:
    with pytest.raises(UserError, match=f"mode {mode}, whose range"):
        open_any(Image.new(mode, (8, 8)))


def test_a_tensor_with_nan_is_refused() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="divide by 255"):
        open_any(image)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr", "HSV"])
def test_pillow_images_of_every_mode_become_colour(mode: str) -> None:
    (frame,) = open_any(Image.new("RGB", (9, 8), (255, 255, 255)).convert(mode))
    assert frame.image.shape == (8, 9, 3)
    assert frame.image.min() > 250


def test_grey_tensors_become_colour() -> None:
    (frame,) = open_any(torch.full((1, 1, 8, 9), 0.5))
    assert frame.image.shape == (8, 9, 3)
    assert (frame.image == 128).all()


def test_a_tensor_that_learns_is_read_without_a_warning(recwarn) -> None:
    assert len(list(open_any(torch.rand(1, 3, 8, 8, requires_grad=True)))) == 1
    assert not recwarn.list
