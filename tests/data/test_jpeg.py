"""The quick way of a JPEG gives the pixels of the whole way, and keeps silent about its trick."""

import io

import cv2
import numpy as np
import pytest

from data.images import decode_image
from data.jpeg import decode_jpeg, find_frame, reduction_of

HEIGHT, WIDTH = 200, 320


def make_jpeg(*options):
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (20, 32, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    noisy = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes()


SAMPLINGS = (0x111111, 0x221111, 0x211111, 0x411111)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_upper_rows_are_those_of_the_whole_image(sampling, capfd):
    data = make_jpeg(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    whole = decode_jpeg(data, (HEIGHT, WIDTH), WIDTH, None)
    np.testing.assert_array_equal(whole, decode_image(data))
    for rows in range(1, len(whole) + 1, 7):
        part = decode_jpeg(data, (HEIGHT, WIDTH), WIDTH, rows)
        np.testing.assert_array_equal(part[:rows], whole[:rows])
    assert len(decode_jpeg(data, (HEIGHT, WIDTH), WIDTH, 5)) < len(whole)
    # An image that is scaled afterwards is decoded as a whole.
    assert len(decode_jpeg(data, (HEIGHT, WIDTH), WIDTH // 2, 5)) == HEIGHT
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "options", [(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)]
)
def test_files_with_marks_inside_are_not_cut(options, capfd):
    data = make_jpeg(*options)
    assert not find_frame(data).cuttable
    np.testing.assert_array_equal(decode_jpeg(data, (HEIGHT, WIDTH), WIDTH, 8), decode_image(data))
    assert capfd.readouterr().err == ""


def test_a_file_of_several_images_is_not_cut(capfd):
    from PIL import Image

    first, file = Image.open(io.BytesIO(make_jpeg())), io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[first])
    assert file.getvalue().endswith(b"\xff\xd9")
    assert len(decode_jpeg(file.getvalue(), (HEIGHT, WIDTH), WIDTH, 8)) == HEIGHT
    assert capfd.readouterr().err == ""


def test_a_reduced_image_is_close_to_the_resized_one():
    data = make_jpeg()
    for factor in (2, 4, 8):
        imgsz = WIDTH // factor // 2
        reduced = decode_jpeg(data, (HEIGHT, WIDTH), imgsz, None)
        size = (WIDTH // factor, HEIGHT // factor)
        averaged = cv2.resize(decode_image(data), size, interpolation=cv2.INTER_AREA)
        assert reduced.shape == averaged.shape
        # It is sharper than the average, of which the noise leaves this much, and less of it after
        # the last halving.
        assert np.abs(reduced.astype(int) - averaged).mean() < 3
        size = (size[0] // 2, size[1] // 2)
        halves = (cv2.resize(image, size).astype(int) for image in (reduced, averaged))
        assert np.abs(next(halves) - next(halves)).mean() < 1.5


def test_reductions_leave_the_long_side_twice_as_long_as_it_will_be():
    assert [reduction_of((480, 640), side) for side in (641, 320, 161, 160, 80, 40, 8)] == [
        1, 1, 1, 2, 4, 8, 8,
    ]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_stand_upright(orientation):
    from PIL import Image

    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.open(io.BytesIO(make_jpeg())).save(file, "JPEG", quality=90, exif=exif)
    whole = decode_image(file.getvalue())
    size = whole.shape[:2]
    found = decode_jpeg(file.getvalue(), size, WIDTH, 40)
    np.testing.assert_array_equal(found[:40], whole[:40])
    assert (len(found) < len(whole)) == (orientation == 1)
    assert decode_jpeg(file.getvalue(), size, WIDTH // 4, None).shape[:2] == tuple(
        side // 2 for side in size
    )


def test_what_is_unusual_goes_the_whole_way():
    from PIL import Image

    data, size = make_jpeg(), (HEIGHT, WIDTH)
    assert decode_jpeg(data, (HEIGHT, WIDTH + 1), WIDTH, None) is None  # it changed since the scan
    assert decode_jpeg(data[:-9], size, WIDTH, None) is None  # cut off
    for broken in (
        b"",
        b"\xff\xd8\xff",
        data[:2] + b"\xff\xd9",
        data[:30] + b"\xff\xd9",
        b"\x89PNG",
        bytes.fromhex("ffd8 ffc0 000b 08 0040 0040 01 011100 ffda ffd9"),  # ends in its scan
        bytes.fromhex("ffd8 ffda 0008 ffc0 00 ffd9"),
    ):
        assert find_frame(broken) is None
    file = io.BytesIO()
    Image.new("CMYK", (WIDTH, HEIGHT)).save(file, "JPEG")
    assert decode_jpeg(file.getvalue(), size, WIDTH, None) is None
