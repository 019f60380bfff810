"""Grey models: the same pixels as OpenCV's grey images, through the same transforms as colour."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.dataset import DatasetSettings, DetectionDataset
from data.dataset_yaml import read_dataset_yaml
from data.grey import channel_notes, check_channels, grey_image
from data.loader import build_loader
from data.pixels import ImageList
from tests.data.image_files import write_images
from utils.config import Hyperparameters
from utils.errors import UserError

NO_COLOUR = Hyperparameters(hsv_h=0, hsv_s=0, hsv_v=0, degrees=10, mixup=0.5, flipud=0.5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("grey"))


def test_grey_is_what_opencv_reads_as_grey(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    expected = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_GRAYSCALE)
    grey = grey_image(image)
    assert grey.shape == image.shape
    assert (grey == grey[..., :1]).all()
    # libpng and libjpeg weigh the colours a little differently while they decode.
    assert np.abs(grey[..., 0].astype(int) - expected).max() <= 1
    assert np.array_equal(grey_image(grey), grey)


@pytest.mark.parametrize("augment", [False, True])
def test_items_have_one_channel_that_no_colour_transform_changes(index, augment):
    grey = DatasetSettings(64, augment=augment, channels=1)
    dataset = DetectionDataset(index, grey)
    plain = DetectionDataset(index, replace(grey, hyp=NO_COLOUR))
    vivid = DetectionDataset(index, replace(grey, hyp=replace(NO_COLOUR, hsv_v=0.9)))
    for number in range(len(index)):
        assert dataset.item(number, 0).image.shape == (1, 64, 64)
        assert np.array_equal(plain.item(number, 3).image, vivid.item(number, 3).image)


def test_a_grey_item_is_the_channel_of_a_colour_item_of_grey_files(tmp_path):
    """So mosaics, borders, maps and flips are those of colour, to the bit."""
    index = write_images(tmp_path)
    for number in range(len(index)):
        path = index.path(number)
        cv2.imwrite(path, grey_image(cv2.imread(path)), [cv2.IMWRITE_JPEG_QUALITY, 100])
    settings = DatasetSettings(64, hyp=NO_COLOUR, augment=True)
    colour = DetectionDataset(index, settings)
    grey = DetectionDataset(index, replace(settings, channels=1))
    for number in range(len(index)):
        first, second = colour.item(number, 1), grey.item(number, 1)
        assert np.array_equal(first.image[:1], second.image)
        assert np.array_equal(first.boxes, second.boxes)


def test_batches_have_one_channel(index):
    batch = next(iter(build_loader(index, DatasetSettings(64, batch_size=4, channels=1))))
    assert tuple(batch.images.shape) == (4, 1, 64, 64)


def test_grey_and_colour_have_caches_of_their_own(index):
    assert ImageList(index, 64, True).key() != ImageList(index, 64, True, grey=True).key()


@pytest.mark.parametrize(
    ("text", "channels"), [("", 0), ("channels: 1\n", 1), ("channels: 3\n", 3)]
)
def test_channels_of_a_data_yaml_are_read(tmp_path, text, channels):
    (tmp_path / "d.yaml").write_text(f"train: a\nval: a\nnames: [x]\n{text}")
    assert read_dataset_yaml(tmp_path / "d.yaml").channels == channels


@pytest.mark.parametrize("value", ["4", "10", "0", "one", "true", "[1]", "1.5"])
def test_other_channels_of_a_data_yaml_are_refused(tmp_path, value):
    (tmp_path / "d.yaml").write_text(f"train: a\nval: a\nnames: [x]\nchannels: {value}\n")
    with pytest.raises(UserError, match=r"d\.yaml: channels: .*(3 or 1|1 \(grey\))$"):
        read_dataset_yaml(tmp_path / "d.yaml")


def test_what_differs_between_data_and_model_is_said():
    assert channel_notes(3, 0, "d.yaml") == channel_notes(1, 1, "d.yaml") == ()
    assert "read in grey" in channel_notes(1, 0, "d.yaml")[0]
    assert "read in colour" in channel_notes(3, 1, "d.yaml")[0]
    assert [check_channels(one, "x") for one in (1, 3)] == [1, 3]
