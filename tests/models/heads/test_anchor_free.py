"""The anchor-free head: decoding cell by cell, widths of its branches, biases, what it keeps and
lets go.
"""

from __future__ import annotations

import copy
import math
import sys
import threading

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from models.heads.anchor_free import DFL, DetectV8, reference_points
from utils.families import V8


def head(**options: object) -> DetectV8:
    made = DetectV8(3, 16, [16, 32], **options)
    made.set_strides([8.0, 16.0])
    return made


def maps(device: str = "cpu") -> list[torch.Tensor]:
    return [torch.randn(2, 16, 6, 4, device=device), torch.randn(2, 32, 3, 2, device=device)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_decode_equals_the_formula_cell_by_cell(memory_format: torch.memory_format) -> None:
    detect, stride = head(), (8, 16)
    raw = [
        torch.randn(2, 67, *size).contiguous(memory_format=memory_format)
        for size in ((6, 4), (3, 2))
    ]
    decoded, row = detect.decode(raw), 0
    for level, values in enumerate(raw):
        for y in range(values.shape[2]):
            for x in range(values.shape[3]):
                cell = values[1, :, y, x].tolist()
                sides = []
                for side in range(4):
                    weights = [math.exp(value) for value in cell[16 * side : 16 * side + 16]]
                    sides.append(sum(n * weight for n, weight in enumerate(weights)) / sum(weights))
                left, top = x + 0.5 - sides[0], y + 0.5 - sides[1]
                right, bottom = x + 0.5 + sides[2], y + 0.5 + sides[3]
                box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
                expected = [value * stride[level] for value in box] + [
                    1 / (1 + math.exp(-v)) for v in cell[64:]
                ]
                assert decoded[1, row].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
                row += 1
    assert decoded.shape == (2, row, 7)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_train_gives_raw_and_eval_both_in_the_format_given(
    memory_format: torch.memory_format,
) -> None:
    detect = head().to(memory_format=memory_format)
    inputs = [x.contiguous(memory_format=memory_format) for x in maps()]
    detect.train()(inputs)
    decoded, raw = detect.eval()(inputs)
    assert [level.shape for level in raw] == [(2, 67, 6, 4), (2, 67, 3, 2)]
    assert all(level.is_contiguous(memory_format=memory_format) for level in raw)
    assert torch.equal(decoded, detect.decode(raw))


def test_decode_is_in_float32_whatever_comes() -> None:
    detect = head()
    raw = [torch.randn(1, 67, 80, 80).bfloat16(), torch.randn(1, 67, 40, 40).bfloat16()]
    decoded = detect.decode(raw)
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, detect.decode([level.float() for level in raw]))
    torch.testing.assert_close(decoded, copy.deepcopy(detect).bfloat16().decode(raw))


@pytest.mark.parametrize(
    ("classes", "channels", "reg_max", "box", "kind"),
    [
        (80, 64, 16, 64, 80),
        (3, 64, 16, 64, 64),
        (200, 64, 16, 64, 100),
        (80, 320, 16, 80, 320),
        (1, 16, 2, 16, 16),
    ],
)
def test_widths_of_the_branches(
    classes: int, channels: int, reg_max: int, box: int, kind: int
) -> None:
    detect = DetectV8(classes, reg_max, [channels, 2 * channels])
    assert [branch[2].weight.shape[:2] for branch in (detect.cv2[1], detect.cv3[1])] == [
        (4 * reg_max, box),
        (classes, kind),
    ]


@pytest.mark.parametrize(
    ("classes", "golden"), [(80, (-11.537, -10.150, -8.764)), (3, (-8.253, -6.867, -5.481))]
)
@pytest.mark.parametrize("box_bias", [2.0, 1.0])
def test_first_biases(classes: int, golden: tuple[float, ...], box_bias: float) -> None:
    detect = DetectV8(classes, 16, [16, 16, 16], box_bias=box_bias)
    detect.set_strides([8.0, 16.0, 32.0])
    for box, kind, bias in zip(detect.cv2, detect.cv3, golden, strict=True):
        assert (box[2].bias == box_bias).all()
        assert kind[2].bias.tolist() == pytest.approx([bias] * classes, abs=1e-3)


def test_spec() -> None:
    spec = head().spec
    assert (spec.family, spec.class_count, spec.strides, spec.anchors, spec.reg_max) == (
        V8,
        3,
        (8, 16),
        (),
        16,
    )


def test_cell_centres() -> None:
    points, scale = reference_points(((1, 2), (1, 1)), (8.0, 16.0), torch.device("cpu"))
    assert points.tolist() == [[0.5, 0.5], [1.5, 0.5], [0.5, 0.5]]
    assert scale.tolist() == [[8], [8], [16]]


def test_cell_centres_are_kept_by_size_and_leave_with_the_head() -> None:
    detect = head().eval()
    with torch.inference_mode():
        detect(maps())
    kept = next(iter(detect._points.values()))
    decoded, _ = detect([x.requires_grad_() for x in maps()])
    decoded.sum().backward()  # what was kept in inference mode serves with gradients
    assert next(iter(detect._points.values())) is kept
    for size in range(1, 20):
        detect.decode([torch.zeros(1, 67, size, size)] * 2)
    assert len(detect._points) <= 8
    detect.to("meta")
    assert not detect._points
    assert detect(maps("meta"))[0].shape == (2, 30, 7)
    assert "stride" not in detect.state_dict()
    assert not any("points" in key for key in detect.state_dict())


def test_bins_are_constants() -> None:
    dfl = DFL(4)
    assert dfl.conv.weight.flatten().tolist() == [0, 1, 2, 3]
    assert not dfl.conv.weight.requires_grad
    logits = torch.randn(2, 5, 4, requires_grad=True)
    nn.Module.requires_grad_(dfl, True)
    dfl.conv.weight.requires_grad_(True)
    dfl(logits).sum().backward()
    assert dfl.conv.weight.grad is None  # even one who thaws it finds that it never learns
    assert logits.grad is not None


def test_bins_are_made_where_that_needs_no_compiler() -> None:
    """arange() on meta is written in Python, and imports torch's compiler, which takes a second."""
    places = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.arange:
                places.append((kwargs or {}).get("device"))
            return function(*args, **(kwargs or {}))

    with torch.device("meta"), Watch():
        assert DFL(16).conv.weight.is_meta
    assert places == ["cpu"]


@pytest.mark.gpu
def test_moves_between_devices() -> None:
    detect, inputs = head().eval(), maps()
    there = copy.deepcopy(detect).cuda()
    found = there([x.cuda() for x in inputs])[0].cpu()
    torch.testing.assert_close(found, detect(inputs)[0], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(there.cpu()(inputs)[0], detect(inputs)[0])


def test_threads_that_share_a_head_get_the_cells_of_their_own_sizes() -> None:
    head = DetectV8(2, 4, (8, 8))
    head.set_strides((8, 16))
    sizes = [((rows + 1, 3), (2, 2)) for rows in range(30)]
    expected = [reference_points(one, (8, 16), torch.device("cpu")) for one in sizes]
    wrong: list[object] = []

    def work(first: int) -> None:
        for step in range(200):
            number = (first * 11 + step * 7) % len(sizes)
            try:
                found = head._reference(sizes[number], torch.device("cpu"))
            except KeyError as error:
                wrong.append(error)
                return
            if not torch.equal(found[0], expected[number][0]):
                wrong.append(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert wrong == []


def test_a_cache_that_others_read_is_never_changed() -> None:
    head = DetectV8(2, 4, (8, 8))
    head.set_strides((8, 16))
    for rows in range(20):
        before = head._points
        kept = dict(before)
        head._reference(((rows + 1, 3), (2, 2)), torch.device("cpu"))
        assert before == kept
