"""Rows as tutorials and forks write them: each builds what its author meant, at every width."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from torch import nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from models.graph.info import row_info
from models.graph.load import load_graph
from models.graph.values import Note
from models.losses import build_loss
from models.weights.transfer import transfer
from models.yolo import DetectionModel
from tests.tiny import GRAPH
from utils.checkpoint import Checkpoint
from utils.config import Hyperparameters
from utils.errors import UserError
from utils.files import ROOT

CLASSES = sorted({kind.__name__ for kind in ATTENTION.values()})
# A new module needs no shipped graph, so the files are listed and not the registry.
SHIPPED = sorted(
    path.stem.removeprefix("yolov5s_") for path in (ROOT / "models").glob("yolov5s_*.yaml")
)
SPELLINGS = [  # row as printed, canonical name, what it means
    ("SimAM", [], "SimAM", {}),
    ("SimAM", [1e-4], "SimAM", {"e_lambda": 1e-4}),
    ("SimAM", [512], "SimAM", {}),
    ("SimAM", [512, 1e-3], "SimAM", {"e_lambda": 1e-3}),
    ("GAM_Attention", [512, 512], "GAM", {"rate": 4}),
    ("GAMAttention", [512, 512], "GAM", {}),
    ("GAM", [512], "GAM", {}),
    ("GAM", [512, 512, 8], "GAM", {"rate": 8}),
    ("CBAM", [], "CBAM", {}),
    ("CBAM", [512], "CBAM", {}),
    ("CBAM", [512, 3], "CBAM", {"kernel_size": 3}),
    ("CBAM", [7], "CBAM", {"kernel_size": 7}),
    ("CoordAtt", [512, 512], "CoordAttention", {}),
    ("CoordAtt", [512, 512, 16], "CoordAttention", {"reduction": 16}),
    ("CA", [512], "CoordAttention", {}),
    ("CA", [512, 16], "CoordAttention", {"reduction": 16}),
    ("ACmix", [], "ACmix", {}),
    ("ACmix", [512, 512], "ACmix", {}),
    ("ACmix", [512], "ACmix", {}),
    ("NAMAttention", [512], "NAM", {}),
    ("NAM", [], "NAM", {}),
    ("ShuffleAttention", [512], "ShuffleAttention", {}),
    ("ShuffleAttention", [512, 4], "ShuffleAttention", {"groups": 4}),
    ("SEAttention", [512], "SE", {}),
    ("SE", [512, 16], "SE", {"reduction": 16}),
    ("SELayer", [512], "SE", {}),
    ("SKAttention", [512], "SKAttention", {}),
    ("ECAAttention", [512], "ECA", {}),
    ("ECA", [512, 3], "ECA", {"k_size": 3}),
    ("ECA", [5], "ECA", {"k_size": 5}),
    ("EMA", [512], "EMA", {"factor": 8}),
    ("EMA", [], "EMA", {"factor": 8}),
    ("EMA", [512, 8], "EMA", {"factor": 8}),
    ("EMA", [8], "EMA", {"factor": 8}),
    ("EMA", [16], "EMA", {"factor": 16}),
    ("LSKA", [23], "LSKA", {"k_size": 23}),
    ("LSKA", [11], "LSKA", {"k_size": 11}),
    ("LSKA", [512, 35], "LSKA", {"k_size": 35}),
    ("CBAM", [512, 16, 7], "CBAM", {"reduction": 16, "kernel_size": 7}),
    ("CBAM", [16, 7], "CBAM", {"reduction": 16, "kernel_size": 7}),
    ("CBAMBlock", [1], "CBAM", {"reduction": 1}),
    ("CBAMBlock", [512, 16, 49], "CBAM", {"reduction": 16, "kernel_size": 49}),
    ("SE", [16], "SE", {"reduction": 16}),
    ("SEAttention", [8], "SE", {"reduction": 8}),
    ("SEBlock", [16, "conv"], "SE", {"reduction": 16}),
    ("CA", [32], "CoordAttention", {"reduction": 32}),
    ("ShuffleAttention", [16, 8], "ShuffleAttention", {"groups": 8}),
    ("ShuffleAttention", [512, 16, 8], "ShuffleAttention", {"groups": 8}),
    (
        "SKAttention",
        [[1, 3], 16, 1, 32],
        "SKAttention",
        {"kernels": [1, 3], "reduction": 16, "group": 1, "L": 32},
    ),
    ("BAM", [512], "BAM", {}),
    ("TripletAttention", [], "TripletAttention", {}),
    ("TripletAttention", [512], "TripletAttention", {}),
    ("LSKblock", [512], "LSK", {}),
    (
        "DoubleAttentionLayer",
        [512, 4],
        "DoubleAttention",
        {"c_m": 512, "c_n": 4, "reconstruct": False},
    ),
    (
        "DoubleAttentionLayer",
        [512, 4, True],
        "DoubleAttention",
        {"c_m": 512, "c_n": 4, "residual": False},
    ),
]


def graph_with(
    name: str, arguments: Any, width: float = 0.25, channels: int = 512
) -> dict[str, Any]:
    """The tiny graph with an attention row in place of SimAM.

    channels: of the row before it, at width 1.
    """
    graph = {**copy.deepcopy(GRAPH), "width_multiple": width}
    graph["backbone"][3] = [-1, 1, "Conv", [channels, 3, 2]]
    graph["backbone"][4] = [-1, 1, name, arguments]
    return graph


def facts(module: nn.Module) -> tuple[Any, ...]:
    """What distinguishes two modules: class, shapes of parameters, plain attributes."""
    plain = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, (int, float, str, bool, tuple))
    }
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    labels = ("i", "f", "key", "width", "type", "np", "repeats", "shown", "training")
    return type(module), shapes, {key: value for key, value in plain.items() if key not in labels}


@pytest.mark.parametrize("width", [0.25, pytest.param(0.5, marks=pytest.mark.slow), 1.25])
@pytest.mark.parametrize(("name", "arguments", "canonical", "meant"), SPELLINGS)
def test_printed_rows_mean_what_their_authors_meant(
    name: str, arguments: list[Any], canonical: str, meant: dict[str, Any], width: float
) -> None:
    with torch.device("meta"):
        model = DetectionModel(graph_with(name, arguments, width))
        real = int(512 * width)
        expected = {**meant, **({"c_m": real} if "c_m" in meant else {})}
        assert facts(model.model[4]) == facts(build_attention(canonical, real, **expected))
    assert not [one for one in model.warnings if not isinstance(one, Note)]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("SimAM", {"e_lambda": 512}, "e_lambda=512.*channel count"),
        ("SimAM", [512, 256], "e_lambda=256"),
        ("CBAM", [512, 8], "kernel_size=8"),
        ("CBAM", {"kernel_size": 1024}, "kernel_size=1024"),
        ("ECA", {"k_size": 512}, "k_size=512"),
        ("ACmix", {"kernel_att": 512}, "kernel_att=512"),
        ("GAM", {"rate": 0}, "rate=0"),
        ("GAM", {"rate": 512}, "rate=512"),
        ("EMA", {"factor": 7}, "factor=7"),
        ("ShuffleAttention", {"groups": 7}, "groups=7"),
        ("SE", {"reduction": -1}, "reduction=-1"),
        ("NAM", {"spatial_shape": 20}, "spatial_shape=20"),
        ("DoubleAttention", {"c_n": 0}, "c_n=0"),
        ("LSKA", {"k_size": 9}, "k_size=9"),
        ("GlobalContext", {"ratio": 0}, "ratio=0"),
    ],
)
def test_impossible_values_are_refused_in_one_line(name: str, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"row 4: {name}.*{message}") as caught:
        DetectionModel(graph_with(name, arguments))
    assert "\n" not in str(caught.value)


def test_a_senseless_row_builds_with_a_warning() -> None:
    """The DoubleAttention tutorial's own row: softmax over one map is 1, so every pixel becomes the
    same.
    """
    model = DetectionModel(graph_with("DoubleAttentionLayer", [512, 1]))
    (warning,) = model.warnings
    assert "row 4: DoubleAttentionLayer" in warning
    assert "c_n" in warning
    out = model.model[4].eval()(torch.randn(1, 128, 5, 7))
    torch.testing.assert_close(out, out[:, :, :1, :1].expand_as(out))


def test_other_channels_than_declared_are_warned_of() -> None:
    model = DetectionModel(graph_with("SE", [256]))
    assert model.warnings == [
        "model graph: row 4: SE [256]: declares 256 channels but gets 128; the real number is used"
    ]


def test_later_rows_follow_a_module_that_changes_the_channels() -> None:
    for name, arguments, channels in (
        ("ACmix", [1024], 256),
        ("DoubleAttentionLayer", [256, 4], 64),
    ):
        model = DetectionModel(graph_with(name, arguments))
        assert row_info(model.model[4]).width == channels
        assert model.model[5].conv.in_channels == channels
    graph = graph_with("ACmix", [1024])
    graph["backbone"][4][1], graph["depth_multiple"] = 2, 1
    with pytest.raises(
        UserError, match="number 2: must be 1 where the number of channels changes, 128 to 256"
    ):
        DetectionModel(graph)


def neck_with(name: str, arguments: Any) -> dict[str, Any]:
    """yolov5s with the attention row after each C3 of the neck, made from SimAM's shipped graph."""
    graph = copy.deepcopy(load_graph("yolov5s_SimAM.yaml"))
    rows = [*graph["backbone"], *graph["head"]]
    for index in (18, 22, 26):
        assert rows[index][2] == "SimAM"
        rows[index][2:] = [name, arguments]
    return graph


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_graphs_differ_in_the_module_only(name: str) -> None:
    graph = load_graph(f"yolov5s_{name}.yaml")
    expected = neck_with(name, graph["head"][8][3])
    assert [graph[part] for part in ("backbone", "head")] == [
        expected[part] for part in ("backbone", "head")
    ]
    with torch.device("meta"):
        assert DetectionModel(graph).warnings == []


NARROW = {"width_multiple": 0.125, "depth_multiple": 0.33, "nc": 2}


def shapes_of(graph: dict[str, Any]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        state = DetectionModel(graph).state_dict()
    return {key: value.shape for key, value in state.items()}


@functools.cache
def plain_shapes(is_narrow: bool) -> dict[str, torch.Size]:
    return shapes_of({**load_graph("yolov5s.yaml"), **(NARROW if is_narrow else {})})


def graph_in_the_neck(name: str) -> dict[str, Any]:
    """The shipped graph of a module, or else the same with its defaults."""
    shipped = ROOT / "models" / f"yolov5s_{name}.yaml"
    return load_graph(shipped.name) if shipped.exists() else neck_with(name, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_every_tensor_of_a_plain_yolov5s_fits(name: str) -> None:
    shapes = shapes_of(graph_in_the_neck(name))
    assert all(shapes[key] == shape for key, shape in plain_shapes(is_narrow=False).items())
    assert len(plain_shapes(is_narrow=False)) == 349


@pytest.mark.parametrize("name", CLASSES)
def test_each_module_in_the_neck(name: str) -> None:
    """It trains a step, and every tensor of the plain graph of that width fits."""
    model = DetectionModel({**graph_in_the_neck(name), **NARROW})
    # In 32 channels iRMB has smaller heads than its paper, and says so.
    said = [one for one in model.warnings if not isinstance(one, Note)]
    assert not [one for one in said if "heads of 64 channels do not divide" not in one]
    raw = model.train()(torch.rand(2, 3, 64, 64))
    total, _ = build_loss(model.spec, Hyperparameters(), 64)(
        raw, torch.tensor([[0, 1, 5.0, 5, 40, 40]]), (64, 64)
    )
    total.backward()
    dead = {
        f"{row_info(row).key}.{key}"
        for row in model.model
        for key in getattr(row, "dead_parameters", ())
    }
    alive = {key for key, value in model.model.named_parameters() if value.grad is not None}
    assert {key for key, _ in model.model.named_parameters()} - alive <= dead
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert all(shapes[key] == shape for key, shape in plain_shapes(is_narrow=True).items())
    assert len(plain_shapes(is_narrow=True)) == 349


def test_every_tensor_is_transferred() -> None:
    plain = DetectionModel(load_graph("yolov5n.yaml"), seed=1)
    model = DetectionModel({**load_graph("yolov5s_CBAM.yaml"), "width_multiple": 0.25})
    assert transfer(model, Checkpoint(plain.graph, plain.names, plain.state_dict())).copied == 349
    assert all(
        torch.equal(model.state_dict()[key], value) for key, value in plain.state_dict().items()
    )
