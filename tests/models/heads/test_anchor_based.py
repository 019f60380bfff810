"""The anchor head: raw maps, decoding by a second, slow way, anchors and their order."""

from __future__ import annotations

import math

import pytest
import torch

from models.heads.anchor_based import Detect, decode

PIXELS = [[(10.0, 13.0), (16.0, 30.0)], [(30.0, 61.0), (62.0, 45.0)]]


def head() -> Detect:
    head = Detect(3, 2, [8, 16])
    head.set_strides([8.0, 16.0], PIXELS)
    return head


def maps() -> list[torch.Tensor]:
    return [torch.randn(2, 8, 6, 4), torch.randn(2, 16, 3, 2)]


def test_decode_equals_the_formula_cell_by_cell() -> None:
    detect = head()
    raw = detect(maps())
    decoded = decode(raw, detect.anchors, detect.stride)
    row = 0
    for level, stride in enumerate((8, 16)):
        _, anchors, height, width, _ = raw[level].shape
        for anchor in range(anchors):
            for y in range(height):
                for x in range(width):
                    s = [
                        1 / (1 + math.exp(-value)) for value in raw[level][1, anchor, y, x].tolist()
                    ]
                    w, h = PIXELS[level][anchor]
                    expected = [(2 * s[0] - 0.5 + x) * stride, (2 * s[1] - 0.5 + y) * stride]
                    expected += [(2 * s[2]) ** 2 * w, (2 * s[3]) ** 2 * h, *s[4:]]
                    assert decoded[1, row].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
                    row += 1
    assert row == decoded.shape[1]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_raw_maps_are_views_of_the_convolution(memory_format: torch.memory_format) -> None:
    detect = head().to(memory_format=memory_format)
    x = maps()[0].to(memory_format=memory_format)
    out = detect.m[0](x)
    raw = detect._split(out)
    assert raw.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()
    assert raw.shape == (2, 2, 6, 4, 8)
    assert torch.equal(raw[1, 1, 5, 3], out[1, 8:, 5, 3])


def test_train_gives_raw_and_eval_both() -> None:
    detect = head()
    inputs = maps()
    raw = detect.train()(inputs)
    decoded, again = detect.eval()(inputs)
    assert all(torch.equal(a, b) for a, b in zip(raw, again, strict=True))
    assert decoded.shape == (2, 2 * (24 + 6), 8)
    assert decoded.dtype == torch.float32


def test_spec_is_in_pixels_and_follows_the_buffer() -> None:
    detect = head()
    assert detect.spec.anchors == tuple(map(tuple, PIXELS))
    assert (detect.spec.class_count, detect.spec.strides) == (3, (8.0, 16.0))
    detect.load_state_dict({**detect.state_dict(), "anchors": detect.anchors * 2})
    assert detect.spec.anchors[1][0] == (60.0, 122.0)
    assert next(iter(detect.state_dict())) == "anchors"


def test_anchors_against_the_strides_are_reversed() -> None:
    detect = head()
    detect.set_anchors(PIXELS[::-1])
    assert detect.spec.anchors == tuple(map(tuple, PIXELS))


def test_bias_prior_is_added() -> None:
    detect = Detect(1, 2, [8, 16])
    before = detect.m[1].bias.detach().clone().view(2, 6)  # type: ignore[operator]
    detect.set_strides([8.0, 16.0], PIXELS)
    added = detect.m[1].bias.detach().view(2, 6) - before  # type: ignore[operator]
    torch.testing.assert_close(added[:, :4], torch.zeros(2, 4))
    torch.testing.assert_close(added[:, 4], torch.full((2,), math.log(8 / 40**2)))
    torch.testing.assert_close(added[:, 5], torch.full((2,), math.log(0.6 / (1 - 0.99999))))
