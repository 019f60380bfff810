"""Items: YOLOv5's rect batches to the pixel, and items that depend on their key only."""

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.augment import GREY
from data.dataset import DatasetSettings, DetectionDataset, ItemKey, draw_recipe
from data.index import DatasetIndex
from tests.data.image_files import write_images
from utils.config import Hyperparameters
from utils.files import ROOT
from utils.seeds import stream

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
RECT = json.loads(gzip.decompress((GOLDEN / "dataset.json.gz").read_bytes()))["rect"]
OPENCV = json.loads((GOLDEN / "augment.json").read_text())["cv2"]
VAL = DatasetSettings(64, batch_size=3, rect=True, pad=0.5)
TRAIN = DatasetSettings(64, augment=True)
HARD = Hyperparameters(degrees=10, shear=3, mixup=0.5, mosaic=0.8, mosaic9=0.3, flipud=0.5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def rect_index(index):
    """04 before 01, which has the same proportions: YOLOv5's sort is not stable, ours is."""
    return index.subset([0, 4, 1, 2, 3, 5, 6, 7, 8, 9])


def same(first, second):
    return np.array_equal(first.image, second.image) and np.array_equal(first.boxes, second.boxes)


def test_rect_order_and_shapes(rect_index):
    dataset = DetectionDataset(rect_index, VAL)
    assert [Path(rect_index.path(i)).name for i in dataset.order] == RECT["order"]
    assert dataset.shapes.tolist() == RECT["batch_shapes_pad0_5"]
    unpadded = DetectionDataset(rect_index, replace(VAL, pad=0.0, batch_size=4))
    assert unpadded.shapes.tolist() == RECT["batch_shapes_pad0_bs4"]


@pytest.mark.parametrize("place", range(10))
def test_rect_items(rect_index, place):
    dataset, expected = DetectionDataset(rect_index, VAL), RECT["items"][place]
    item = dataset.item(int(dataset.order[place]), 0)
    assert list(item.image.shape) == expected["chw"]
    size, (ratio, pad) = expected["shapes"]
    assert list(item.original_size) == size
    assert item.gain[::-1] == pytest.approx(ratio, abs=1e-9)
    assert item.pad == pytest.approx(pad, abs=1e-9)
    height, width = expected["chw"][1:]
    labels = np.array(expected["labels"], dtype=np.float64).reshape(-1, 6)
    centre, half = labels[:, 2:4], labels[:, 4:] / 2
    boxes = np.concatenate([centre - half, centre + half], 1)
    found = item.boxes / [width, height, width, height]
    assert sort_rows(found, item.classes) == pytest.approx(sort_rows(boxes, labels[:, 1]), abs=1e-4)
    if cv2.__version__ == OPENCV:
        assert (
            hashlib.sha256(np.ascontiguousarray(item.image).tobytes()).hexdigest()
            == expected["sha256"]
        )
    assert item.image.mean() == pytest.approx(expected["mean"], abs=0.5)


def sort_rows(boxes, classes):
    rows = np.column_stack([classes, boxes])
    return rows[np.lexsort(rows.T)]


def test_boxes_lead_back_to_the_original(index):
    dataset = DetectionDataset(index, VAL)
    for i in range(10):
        item, sample = dataset.item(i, 0), index[i]
        back = (item.boxes - np.tile(item.pad, 2)) / np.tile(item.gain, 2)
        np.testing.assert_allclose(back, sample.boxes, atol=1e-3)
        assert (item.original_size, item.index) == (sample.size, i)


@pytest.mark.parametrize("hyp", [Hyperparameters(), HARD])
@pytest.mark.parametrize("cache", ["no", "ram"])
def test_an_item_depends_on_its_key_alone(index, hyp, cache):
    settings = replace(TRAIN, hyp=hyp)
    first, second = (
        DetectionDataset(index, settings),
        DetectionDataset(index, replace(settings, cache=cache)),
    )
    backwards = {i: second.item(i, 3) for i in reversed(range(10))}
    for i in range(10):
        assert same(first.item(i, 3), backwards[i])
    assert not any(same(first.item(i, 3), first.item(i, 4)) for i in range(10))
    assert not same(first[ItemKey(2, 3)], first[ItemKey(2, 3, repeat=1)])
    assert not same(DetectionDataset(index, replace(settings, seed=1)).item(2, 3), first.item(2, 3))


def test_items_are_uint8_channels_last_in_memory(index):
    for settings in (TRAIN, VAL):
        item = DetectionDataset(index, settings).item(1, 0)
        assert item.image.dtype == np.uint8
        assert item.image.transpose(1, 2, 0).flags.c_contiguous
        assert item.boxes.dtype == np.float32


def test_cached_images_stay_as_they_are(index):
    settings = replace(TRAIN, cache="ram", hyp=Hyperparameters(mosaic=0.3, mixup=1.0, fliplr=1.0))
    dataset = DetectionDataset(index, settings)
    before = [dataset.pixels[i].copy() for i in range(10)]
    for i in range(10):
        dataset.item(i, 0)
    assert all(np.array_equal(old, dataset.pixels[i]) for i, old in enumerate(before))


def test_no_mosaic_where_it_is_closed_or_rect(index):
    def member_counts(settings, mosaic=True):
        dataset, seen = DetectionDataset(index, settings), []
        fetch = dataset.fetch
        dataset.fetch = lambda i: seen.append(i) or fetch(i)
        dataset[ItemKey(1, 0, mosaic=mosaic)]
        return len(seen)

    assert member_counts(TRAIN) == 4
    assert member_counts(replace(TRAIN, hyp=Hyperparameters(mosaic9=1.0))) == 9
    assert member_counts(replace(TRAIN, hyp=Hyperparameters(mixup=1.0))) == 8
    assert member_counts(TRAIN, mosaic=False) == 1
    assert member_counts(replace(TRAIN, rect=True)) == 1


def test_mosaic_members_come_from_the_pool():
    recipes = [draw_recipe(stream(k), 0, (7, 8), TRAIN) for k in range(50)]
    assert {i for recipe in recipes for i in recipe.mosaics[0].members} == {0, 7, 8}


def test_without_augmentation_values_training_items_are_letterboxed(index):
    """hyp.no-augmentation through the training way gives what validation sees, apart from half
    pixels of border.
    """
    hyp = Hyperparameters.load("hyp.no-augmentation.yaml")
    trained = DetectionDataset(index, DatasetSettings(64, hyp, augment=True))
    plain = DetectionDataset(index, DatasetSettings(64, hyp))
    for i in (1, 2, 5, 9):
        assert np.abs(trained.item(i, 0).boxes - plain.item(i, 0).boxes).max(initial=0) <= 0.51
    np.testing.assert_array_equal(trained.item(2, 0).image, plain.item(2, 0).image)


def test_unreadable_images_become_grey(index, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not an image")
    samples = [
        replace(index[1], path=str(bad)),
        index[5],
        replace(index[6], path=str(tmp_path / "gone.png")),
    ]
    dataset = DetectionDataset(DatasetIndex.pack(samples, index.names), replace(VAL, cache="ram"))
    for i in (0, 2):
        item = dataset.item(i, 0)
        assert (item.image == GREY).all()
        assert len(item.boxes) == len(samples[i].boxes)  # so that its objects count as missed
    assert len(dataset.item(1, 0).boxes) == 1
    learnt = DetectionDataset(dataset.index, replace(VAL, augment=True)).item(2, 0)
    assert learnt.boxes.shape == (0, 4)
    assert learnt.classes.shape == (0,)
    assert set(dataset.failures) == {str(bad), str(tmp_path / "gone.png")}
    assert DetectionDataset(dataset.index, TRAIN).item(0, 0).image.shape == (3, 64, 64)


def test_a_box_among_polygons_keeps_its_place(index):
    sample = index[3]
    outline = sample.boxes[0][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
    segments = (outline, *[np.zeros((0, 2), np.float32)] * (len(sample.boxes) - 1))
    mixed = DatasetIndex.pack([replace(sample, segments=segments)], index.names)
    hyp = Hyperparameters(mosaic=0, scale=0, translate=0, fliplr=0, hsv_h=0, hsv_s=0, hsv_v=0)
    found = DetectionDataset(mixed, DatasetSettings(64, hyp, augment=True)).item(0, 0).boxes
    boxed = DatasetIndex.pack([sample], index.names)
    expected = DetectionDataset(boxed, DatasetSettings(64, hyp, augment=True)).item(0, 0).boxes
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert len(found) == 3
