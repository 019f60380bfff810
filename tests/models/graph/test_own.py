"""Graphs with a person's own classes: conventions, widths, strides, keys, errors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.costs.profile import count_costs
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.graph.read import read_graph
from models.graph.sites import find_sites, insert
from models.graph.values import Note
from models.lint.fix import lint_content
from models.weights.align import align_graphs
from models.yolo import DetectionModel
from tests import own_classes
from tests.own_classes import write_classes
from utils.errors import UserError

Rows = list[list[Any]]


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = write_classes(tmp_path)
    use_modules(path)
    return path


def graph_of(*rows: list[Any], width: float = 0.25) -> dict[str, Any]:
    """The rows behind a map of 64 * 4 * width channels at stride 4."""
    stem: Rows = [[-1, 1, "Conv", [128, 6, 2, 2]], [-1, 1, "Conv", [256, 3, 2]]]
    last = len(rows) + 2
    tail: Rows = [[-1, 1, "Conv", [256, 3, 2]], [-1, 1, "Conv", [256, 3, 2]]]
    head: Rows = [[[last, last + 1], 1, "Detect", ["nc", "anchors"]]]
    common = {key: own_classes.GRAPH[key] for key in ("nc", "anchors", "depth_multiple")}
    return {
        **common,
        "width_multiple": width,
        "backbone": [*stem, *(list(row) for row in rows), *tail],
        "head": head,
    }


def own_file(folder: Path, init: str, forward: str, parameters: str = "") -> None:
    path = folder / "one.py"
    path.write_text(
        f"import torch\nfrom torch import nn\nclass One(nn.Module):\n"
        f"    def __init__(self{parameters}):\n        super().__init__()\n        {init}\n"
        f"    def forward(self, x):\n        return {forward}\n"
    )
    use_modules(path)


def built(row: list[Any], width: float = 0.25) -> Any:
    """The third row of a network, whose map has 64 channels at width 0.25."""
    return DetectionModel(graph_of(row, width=width)).model[2]


@pytest.mark.parametrize(
    ("row", "shapes"),
    [
        ([-1, 1, "Mine", []], {"fc.0.weight": (4, 64, 1, 1)}),
        ([-1, 1, "Mine", [256]], {"fc.0.weight": (4, 64, 1, 1)}),
        ([-1, 1, "Mine", [8]], {"fc.0.weight": (8, 64, 1, 1)}),
        ([-1, 1, "Mine", [256, 8]], {"fc.0.weight": (8, 64, 1, 1)}),
        ([-1, 1, "Mine", [256, 256, 8]], {"fc.0.weight": (8, 64, 1, 1)}),
        ([-1, 1, "Mine", {"reduction": 2}], {"fc.0.weight": (32, 64, 1, 1)}),
        ([-1, 1, "Block", [128]], {"cv.weight": (32, 64, 1, 1), "m.0.weight": (32, 32, 3, 3)}),
        ([-1, 1, "Block", [128, 5]], {"m.0.weight": (32, 32, 5, 5)}),
        ([-1, 6, "Block", [128, 1]], {"m.1.weight": (32, 32, 1, 1)}),  # 6 repeats at depth 0.33
        ([-1, 1, "Block", [256, 256, 5]], {"cv.weight": (64, 64, 1, 1)}),
        ([-1, 1, "Block", []], {"cv.weight": (64, 64, 1, 1)}),
        ([-1, 1, "Block", {"kernel": 1}], {"cv.weight": (64, 64, 1, 1)}),
        ([-1, 1, "Block", {"c2": 128}], {"cv.weight": (32, 64, 1, 1)}),
        ([-1, 1, "Down", [128]], {"cv.weight": (32, 64, 3, 3)}),
        ([-1, 3, "Gate", [1e-3]], {}),
        ([[-1, 1], 1, "Fuse", [128]], {"cv.weight": (32, 128, 1, 1)}),
        ([[-1, 1], 1, "Weighted", []], {"w": (2,)}),
    ],
)
def test_rows_are_built_as_their_author_meant(
    classes: Path, row: list[Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    found = {key: tuple(value.shape) for key, value in built(row).state_dict().items()}
    assert shapes.items() <= found.items()


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_channels_follow_the_width(classes: Path, width: float) -> None:
    block = built([-1, 1, "Block", [128]], width)
    assert block.cv.weight.shape[:2] == (128 * width, 256 * width)
    assert built([-1, 1, "Mine", [256, 8]], width).fc[2].weight.shape[0] == 256 * width


@pytest.mark.parametrize(
    ("values", "taken"),
    [([256], "(64, 64)"), ([64], "(64, 64)"), ([4], "(64, 64, 4)"), ([64, 4], "(64, 64, 4)")],
)
def test_rows_of_other_parsers(tmp_path: Path, values: list[int], taken: str) -> None:
    """Attention of channels in and out, its row scaled, unscaled, or with options only."""
    own_file(
        tmp_path,
        "self.c, self.ratio = nn.Conv2d(inp, oup, 1), ratio",
        "x * self.c(x).sigmoid()",
        ", inp, oup, ratio=32",
    )
    model = DetectionModel(graph_of([-1, 1, "One", values]))
    assert model.model[2].own_call[0] == numbers_of(taken)
    notes = [str(note) for note in model.warnings if isinstance(note, Note)]
    if values == [256]:
        assert notes == []
    else:
        assert len(notes) == 1
        assert notes[0].startswith(f"one.py: One{taken} is taken, since One(64, ")


def numbers_of(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.strip("()").split(","))


def test_output_channels_and_stride_are_measured(tmp_path: Path) -> None:
    own_file(tmp_path, "pass", "torch.cat((x, x[:, :8]), 1)[..., ::2, ::2]", ", dim")
    model = DetectionModel(graph_of([-1, 1, "One", []]))
    assert model.model[3].conv.weight.shape[1] == 64 + 8
    assert model.map_sizes[:3] == [(128, 128), (64, 64), (32, 32)]
    strides = {site.name: site.stride for site in find_sites(graph_of([-1, 1, "One", []]))}
    assert strides["every One"] == 8
    assert strides["backbone.P5"] == 32
    with pytest.raises(UserError, match="number 2: must be 1 where the number of channels changes"):
        DetectionModel({**graph_of([-1, 2, "One", []]), "depth_multiple": 1.0})


def test_maps_of_several_sizes(tmp_path: Path) -> None:
    forward = "self.c(x[1]) + nn.functional.interpolate(x[0], size=x[1].shape[2:])"
    own_file(tmp_path, "self.c = nn.Conv2d(channels[1], channels[0], 1)", forward, ", channels")
    graph = graph_of(
        [-1, 1, "Conv", [256, 3, 2]], [[-1, 1], 1, "One", []], [-1, 1, "Conv", [256, 3, 2]]
    )
    model = DetectionModel(graph)
    assert model.map_sizes[2:5] == [(32, 32), (64, 64), (32, 32)]
    strides = [step.stride for step in read_graph(graph).steps]
    assert strides[2:5] == [8, 4, 8]


def test_base_rows_keep_their_keys(classes: Path) -> None:
    rows: Rows = [[-1, 1, "Mine", [8]], [-1, 1, "Block", [256]], [-1, 1, "Block", {}]]
    keys = [row.key for row in read_graph(graph_of(*rows)).rows]
    assert keys == ["0", "1", "1_Mine", "2", "2_Block", "3", "4", "5"]


def test_a_graph_runs_learns_fuses_and_copies(tmp_path: Path, classes: Path) -> None:
    model = DetectionModel(copy.deepcopy(own_classes.GRAPH))
    x = torch.rand(2, 3, 64, 64)
    raw = copy.deepcopy(model)(x)
    sum(level.square().mean() for level in raw).backward()
    before = model.eval()(x)[0]
    torch.testing.assert_close(model.fuse()(x)[0], before, rtol=1e-4, atol=1e-3)
    copied = copy.deepcopy(model)
    assert torch.equal(copied(x)[0], model(x)[0])


def test_insertion_at_places(classes: Path) -> None:
    specs = [
        "Mine:reduction=4@neck",
        "Block:kernel=1@backbone.P4",
        "Gate@head.P3",
        "Mine@inside C3",
    ]
    plain = load_graph("models/yolov5n.yaml")
    graph = insert(plain, specs)
    with torch.device("meta"):
        model = DetectionModel(graph)
        before = DetectionModel(plain)
    base = set(before.state_dict())
    assert base <= set(model.state_dict())  # every base row has its key
    kinds = {key.split(".")[1] for key in set(model.state_dict()) - base}
    assert {"17_Mine", "20_Mine", "23_Mine", "6_Block"} <= kinds
    assert model.model[2].m[0].attention.fc[0].weight.shape == (4, 16, 1, 1)
    assert len(align_graphs(plain, graph)) == 25
    with pytest.raises(UserError, match=r"kernal=1: Block takes argument=value, with kernel, init"):
        insert(plain, "Block:kernal=1@neck")


@pytest.mark.parametrize("module", ["Mine", "Gate", "Block"])
def test_an_insertion_may_start_as_the_identity(classes: Path, module: str) -> None:
    torch.manual_seed(0)
    plain = load_graph("models/yolov8n.yaml")
    x = torch.rand(1, 3, 64, 64)
    found = DetectionModel(insert(plain, f"{module}@neck", "identity")).eval()(x)[0]
    assert torch.equal(found, DetectionModel(plain).eval()(x)[0])


def test_costs_are_counted(classes: Path) -> None:
    with torch.device("meta"):
        model = DetectionModel(copy.deepcopy(own_classes.GRAPH))
    costs = count_costs(model, 64)
    assert costs[3].flops == 2 * 8 * 8 * 9 * 16 * 32  # Down, 16 to 32 channels on 8x8 cells
    assert costs[3].normalised == 8 * 8 * 32
    assert costs[5].elementwise > 0


def test_lint_finds_wiring_and_no_arguments(classes: Path) -> None:
    graph = graph_of([-1, 1, "Mine", [100]], [-1, 1, "Block", [256, 99]])
    assert lint_content({**graph, "yaml_file": "a.yaml"}) == []
    bypassed = graph_of([-1, 1, "Mine", []], [1, 1, "Conv", [256, 3, 2]])
    assert {finding.rule for finding in lint_content(bypassed)} >= {"unread"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            [-1, 1, "Mine", [256, 0]],
            r"row 2: Mine \[256, 0\]: my_classes.py: Mine\(64, reduction=0\): ZeroDivisionError: .*"
            r" \(line 11\); its constructor takes \(dim, reduction=16\)$",
        ),
        ([-1, 1, "Mine", [256, 8, 9]], r"row 2: Mine \[256, 8, 9\]: Mine takes \(dim, reduction=1"),
        (
            [-1, 1, "Mine", {"ratio": 3}],
            r"row 2: .*ratio: Mine has no such argument; it takes redu",
        ),
        (
            [-1, 1, "Block", [128, "big"]],
            r"row 2: Block \[128, 'big'\]: my_classes.py: Block\(64, 32, 1, 'big'\): TypeError: .*"
            r" \(line 35\); its constructor takes \(c1, c2, n=1, kernel=3\)$",
        ),
        ([-1, 1, "Block", {"size": 3}], r"row 2: .*size: my_classes.py: Block takes \(c1, c2, n=1"),
        ([-1, 1, "Block", ["x"]], "row 2: .*the first argument must be the number of output chann"),
        (
            [-1, 1, "Fuse", [128]],
            r"row 2: .*Fuse.forward of 1x64x64x64: TypeError: .*\(line 60\); its constructor takes",
        ),
        (
            [[-1, 1], 1, "Down", [128]],
            r"row 2: Down \[128\]: my_classes.py: Down\(\[64, 64\], 32\): Type",
        ),
        (
            [-1, 1, "Bolck", [128]],
            r"row 2: .*no module of this name.*; a class of your own needs --modules FILE.py$",
        ),
    ],
)
def test_errors_name_file_class_row_and_signature(classes: Path, row: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=rf"^g.yaml: {said}") as caught:
        DetectionModel({**graph_of(row), "yaml_file": "g.yaml"})
    assert "\n" not in str(caught.value)


def test_an_own_class_is_no_head(classes: Path) -> None:
    graph = graph_of()
    graph["head"][-1] = [[2, 3], 1, "Fuse", [64]]
    with pytest.raises(UserError, match="the head, such as Detect, must be the last row"):
        DetectionModel(graph)


def test_a_graph_imports_nothing(tmp_path: Path, classes: Path) -> None:
    """No path in a YAML is followed, whatever key or row it stands in."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for row in ([-1, 1, str(evil), []], [-1, 1, "evil.Mine", []], [-1, 1, "Mine", [str(evil)]]):
        path = tmp_path / "evil.yaml"
        path.write_text(
            yaml.safe_dump({**graph_of(row), "modules": [str(evil)], "imports": "evil"})
        )
        with pytest.raises(UserError):
            DetectionModel(load_graph(path))
    assert not (tmp_path / "ran").exists()


def test_a_norm_that_the_person_uses_is_not_folded(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "from torch import nn\nfrom models.common import Conv\nclass MyConv(Conv):\n"
        "    def forward(self, x):\n        return self.bn(self.conv(x))\n"
        "class One(nn.Module):\n    def __init__(self, c1, c2):\n        super().__init__()\n"
        "        self.a, self.b = MyConv(c1, c2), Conv(c2, c2)\n"
        "    def forward(self, x):\n        return self.b(self.a(x))\n"
    )
    use_modules(path)
    model = DetectionModel(graph_of([-1, 1, "One", [256]])).eval()
    x = torch.rand(1, 3, 64, 64)
    before = model(x)[0]
    torch.testing.assert_close(model.fuse()(x)[0], before, rtol=1e-4, atol=1e-3)
    assert (model.model[2].a.bn is None, model.model[2].b.bn is None) == (False, True)
