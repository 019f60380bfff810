"""Task-aligned assignment: YOLOv8's own outputs, a plain calculation on random cases, ties, floors,
empty batches.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.losses.task_align import AlignSettings, Positives, Predictions, align_targets

GOLDEN = Path(__file__).parents[2] / "golden/yolov8"
FACTS = json.loads((GOLDEN / "assigner.json").read_text())["cases"]
# Those with topk2 are of one-to-one heads, which no graph here has.
CASES = {name: case for name, case in FACTS.items() if "/" in name and not case.get("topk2")}
ARRAYS = np.load(GOLDEN / "assigner.npz")
STRIDES = (8.0, 16.0, 32.0)
SIZES = {126: (64, 96), 189: (96, 96)}  # cells -> image (h, w)


def levels_of(rows: torch.Tensor, size: tuple[int, int]) -> list[torch.Tensor]:
    """[B, C, A] -> per level [B, C, rows, columns]."""
    grids = [(int(size[0] / stride), int(size[1] / stride)) for stride in STRIDES]
    parts = rows.split([height * width for height, width in grids], 2)
    return [part.unflatten(2, grid) for part, grid in zip(parts, grids, strict=True)]


def centres_of(size: tuple[int, int]) -> list[tuple[float, float]]:
    return [
        ((column + 0.5) * stride, (row + 0.5) * stride)
        for stride in STRIDES
        for row in range(int(size[0] / stride))
        for column in range(int(size[1] / stride))
    ]


def scores_of(
    found: Positives, targets: torch.Tensor, shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Target scores [B, A, nc] of positives, and each cell's row of the targets [B, A], or -1."""
    scores, owners = torch.zeros(shape), torch.full(shape[:2], -1)
    alive = found.weight > 0
    target, place = found.target[alive], (found.image[alive], found.cell[alive])
    scores[(*place, targets[target, 1].long())] = found.weight[alive]
    owners[place] = target
    assert len({*zip(*(column.tolist() for column in place), strict=True)}) == len(target)
    return scores, owners


@pytest.mark.parametrize("name", CASES)
def test_assignment_equals_golden(name: str) -> None:
    base, case = name.split("/")[0], CASES[name]
    scores, boxes = (
        torch.tensor(ARRAYS[f"{base}/pd_scores"]),
        torch.tensor(ARRAYS[f"{base}/pd_bboxes"]),
    )
    size = SIZES[scores.shape[1]]
    np.testing.assert_array_equal(centres_of(size), ARRAYS[f"{base}/anc_points"])
    present = ARRAYS[f"{base}/mask_gt"][..., 0] > 0
    image, number = present.nonzero()
    labels, corners = ARRAYS[f"{base}/gt_labels"][present], ARRAYS[f"{base}/gt_bboxes"][present]
    targets = torch.tensor(np.concatenate((image[:, None], labels, corners), 1)).float()
    settings = AlignSettings(case["topk"], small_side=16.0 * case["floor"])
    logits = levels_of(scores.logit().transpose(1, 2), size)
    found, owners = scores_of(
        align_targets(Predictions(boxes, logits, STRIDES), targets, settings), targets, scores.shape
    )
    wanted = ARRAYS[f"{name}/target_scores"]
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=0)
    assert found.sum().item() == pytest.approx(case["target_scores_sum"], rel=1e-6)
    positive = wanted.sum(2) > 0
    np.testing.assert_array_equal(
        number[owners[positive]], ARRAYS[f"{name}/target_gt_idx"][positive]
    )
    np.testing.assert_array_equal(
        corners[owners[positive]], ARRAYS[f"{name}/target_bboxes"][positive]
    )


def plain_ciou(a: list[float], b: list[float]) -> float:
    """CIoU of two boxes by the paper, heights guarded as YOLOv8 guards them."""
    aw, ah, bw, bh = a[2] - a[0], a[3] - a[1] + 1e-7, b[2] - b[0], b[3] - b[1] + 1e-7
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    iou = shared / (aw * ah + bw * bh - shared + 1e-7)
    hull = (
        (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2 + 1e-7
    )
    apart = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    shape = 4 / math.pi**2 * (math.atan(bw / bh) - math.atan(aw / ah)) ** 2
    return iou - apart / hull - shape * shape / (1 - iou + shape + 1e-7)


def plain_claims(
    score: list, boxes: list, target: list[float], centres: list, settings: AlignSettings
) -> dict:
    """The cells inside a target with their (alignment, overlap), and those that it claims."""
    grown = [max(min(settings.small_side, STRIDES[1]), high - low) / 2
             for low, high in ((target[2], target[4]), (target[3], target[5]))]  # fmt: skip
    middle = ((target[2] + target[4]) / 2, (target[3] + target[5]) / 2)
    inside = {}
    for cell, centre in enumerate(centres):
        if all(
            abs(place - mid) < half - 1e-9
            for place, mid, half in zip(centre, middle, grown, strict=True)
        ):
            overlap = max(plain_ciou(boxes[cell], target[2:]), 0)
            inside[cell] = (
                score[cell][int(target[1])] ** settings.alpha * overlap**settings.beta,
                overlap,
            )
    best = sorted(inside, key=lambda cell: -inside[cell][0])[: settings.topk]
    return {"inside": inside, "claimed": {cell for cell in best if inside[cell][0] > 0}}


def plain(score: list, boxes: list, targets: list, centres: list, settings: AlignSettings) -> dict:
    """One image, in loops: cell -> (number of its target, target score)."""
    claims = [plain_claims(score, boxes, target, centres, settings) for target in targets]
    owner = {}
    for cell in range(len(centres)):
        claiming = [number for number, claim in enumerate(claims) if cell in claim["claimed"]]
        around = [number for number, claim in enumerate(claims) if cell in claim["inside"]]
        if len(claiming) > 1:
            owner[cell] = max(
                around, key=lambda number: (claims[number]["inside"][cell][1], -number)
            )
        elif claiming:
            owner[cell] = claiming[0]
    found = {}
    for number, claim in enumerate(claims):
        own = [cell for cell in owner if owner[cell] == number]
        for cell in own:
            top = max(claim["inside"][other][0] for other in own)
            widest = max(claim["inside"][other][1] for other in own)
            found[cell] = (number, claim["inside"][cell][0] * widest / (top + 1e-9))
    return found


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[int, int]]:
    """Scores [B, A, nc], boxes [B, A, 4] and targets in pixels, crowded, some of a few pixels, one
    image empty.
    """
    generator = torch.Generator().manual_seed(seed)
    size = ((64, 96), (96, 96))[seed % 2]
    points, spread = (
        torch.tensor(centres_of(size)),
        torch.rand(3, len(centres_of(size)), 4, generator=generator) * 20,
    )
    boxes = torch.cat((points - spread[..., :2], points + spread[..., 2:]), 2)
    scores = torch.rand(3, len(points), 4, generator=generator)
    rows = []
    for image, count in ((0, 9), (2, 14)):
        middle = torch.rand(count, 2, generator=generator) * torch.tensor((size[1], size[0]))
        half = torch.rand(count, 2, generator=generator) ** 2 * 24 + 0.5
        label = torch.randint(4, (count, 1), generator=generator)
        rows.append(
            torch.cat((torch.full((count, 1), image), label, middle - half, middle + half), 1)
        )
    return scores, boxes, torch.cat(rows), size


@pytest.mark.parametrize(
    "settings", [AlignSettings(), AlignSettings(4, small_side=0), AlignSettings(13, 1.0, 3.0, 5.0)]
)
@pytest.mark.parametrize("seed", range(4))
def test_assignment_equals_a_plain_calculation(seed: int, settings: AlignSettings) -> None:
    scores, boxes, targets, size = random_case(seed)
    logits = levels_of(scores.logit().transpose(1, 2), size)
    found, owners = scores_of(
        align_targets(Predictions(boxes, logits, STRIDES), targets, settings), targets, scores.shape
    )
    for image in range(3):
        mine = (targets[:, 0] == image).nonzero()[:, 0].tolist()
        inputs = (
            scores[image].double().tolist(),
            boxes[image].double().tolist(),
            targets[mine].double().tolist(),
        )
        wanted = plain(*inputs, centres_of(size), settings)
        sure = {
            cell for cell, (_, score) in wanted.items() if score > 1e-30
        }  # float32 has nothing much smaller
        assert sure <= {*owners[image].ge(0).nonzero()[:, 0].tolist()} <= {*wanted}
        for cell in sure:
            number, score = wanted[cell]
            assert owners[image, cell] == mine[number]
            assert found[image, cell].sum().item() == pytest.approx(score, rel=2e-4, abs=1e-6)


def test_order_of_targets_does_not_matter() -> None:
    scores, boxes, targets, size = random_case(7)
    predictions = Predictions(boxes, levels_of(scores.logit().transpose(1, 2), size), STRIDES)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    first, owners = scores_of(
        align_targets(predictions, targets, AlignSettings()), targets, scores.shape
    )
    second, moved = scores_of(
        align_targets(predictions, targets[order], AlignSettings()), targets[order], scores.shape
    )
    torch.testing.assert_close(first, second)
    assert torch.equal(torch.where(moved >= 0, order[moved], -1), owners)


def single(target: list[list[float]], strides: tuple[float, ...], **options: float) -> list[int]:
    """Cells of one 32 px image that take the targets; every prediction is a good one."""
    targets = torch.tensor([[0.0, 0.0, *box] for box in target])
    logits = [torch.zeros(1, 1, int(32 / stride), int(32 / stride)) for stride in strides]
    count = sum(level.numel() for level in logits)
    boxes = torch.tensor(target[0]).expand(1, count, 4).clone()
    found = align_targets(
        Predictions(boxes, logits, strides), targets, AlignSettings(topk=100, **options)
    )
    return sorted(found.cell[found.weight > 0].tolist())


@pytest.mark.parametrize(
    ("strides", "small_side", "count"),
    [
        ((8.0, 16.0, 32.0), 16.0, 3),
        ((8.0, 16.0, 32.0), 0.0, 1),
        ((8.0, 16.0, 32.0), 8.0, 1),
        ((8.0,), 16.0, 1),
        ((4.0, 8.0, 16.0), 16.0, 3),
        ((4.0, 8.0, 16.0), 64.0, 3),
    ],
)
def test_small_targets_grow_to_the_second_stride_at_most(strides, small_side, count):
    """A box of 2 px about the centre of cell 1, 1 of the finest level; the floor never makes it
    larger than it says.
    """
    middle = strides[0] * 1.5
    assert (
        len(
            single(
                [[middle - 1, middle - 1, middle + 1, middle + 1]], strides, small_side=small_side
            )
        )
        == count
    )


def test_a_centre_on_the_border_is_not_inside():
    assert single([[4.0, 4, 12, 12]], (8.0,), small_side=0.0) == []
    assert single([[3.5, 3.5, 12, 12]], (8.0,), small_side=0.0) == [0]


def test_identical_targets_leave_all_cells_to_the_first():
    targets = torch.tensor([[0, 0, 2.0, 2, 30, 30], [0, 0, 2, 2, 30, 30]])
    boxes = torch.tensor([2.0, 2, 30, 30]).expand(1, 16, 4)
    found = align_targets(
        Predictions(boxes, [torch.zeros(1, 1, 4, 4)], (8.0,)), targets, AlignSettings()
    )
    alive = found.weight > 0
    assert alive.sum() == 10
    assert set(found.target[alive].tolist()) == {0}


def test_a_row_of_zeros_is_no_target():
    targets = torch.tensor([[0, 0, -5.0, -5, 5, 5], [0, 0, 0, 0, 0, 0]])
    boxes = torch.tensor([-5.0, -5, 5, 5]).expand(1, 16, 4)
    found = align_targets(
        Predictions(boxes, [torch.zeros(1, 1, 4, 4)], (8.0,)), targets, AlignSettings()
    )
    assert not found.weight.any()


def test_no_targets_no_rows():
    found = align_targets(
        Predictions(torch.rand(2, 16, 4), [torch.zeros(2, 3, 4, 4)], (8.0,)),
        torch.zeros(0, 6),
        AlignSettings(),
    )
    assert [len(column) for column in (found.target, found.image, found.cell, found.weight)] == [
        0
    ] * 4


def test_many_pairs_are_scored_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, boxes, targets, size = random_case(3)
    predictions = Predictions(boxes, levels_of(scores.logit().transpose(1, 2), size), STRIDES)
    whole = align_targets(predictions, targets, AlignSettings())
    monkeypatch.setattr("models.losses.task_align.PIECE", 7)
    pieces = align_targets(predictions, targets, AlignSettings())
    assert torch.equal(whole.target, pieces.target)
    torch.testing.assert_close(whole.weight, pieces.weight)
