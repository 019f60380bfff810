"""Networks: golden shapes, outputs and initial weights, stable keys, and rows that are refused."""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from models.command import main
from models.graph.info import row_info
from models.graph.load import load_graph
from models.lint.advice import warnings_of
from models.yolo import DetectionModel
from tests.models.fill import ARTICLE, GOLDEN, fill, image, indexed
from tests.models.sizes import slow_between
from utils.errors import UserError, run_main
from utils.files import ROOT

SHAPES: dict[str, Any] = json.loads(
    gzip.decompress((GOLDEN / "state_dict_shapes.json.gz").read_bytes())
)
NAMES = [name for name in SHAPES if "seg" not in name and "(" not in name]
FORWARD = {
    "yolov5n": (64, 96),
    "yolov5s_nc3": (64, 96),
    "yolov5s_SimAM": (64, 96),
    "yolov5s-ghost": (64, 96),
    "yolov5s-transformer": (64, 96),
    "yolov5n6": (128, 128),
}


def on_meta(graph: dict[str, Any], **options: Any) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(graph, **options)


def article() -> dict[str, Any]:
    return {**yaml.safe_load(ARTICLE), "yaml_file": "article.yaml"}


def small(**changes: Any) -> dict[str, Any]:
    """A graph of few rows that tests bend."""
    graph: dict[str, Any] = {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
        "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 2, "C3", [16]]],
        "head": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]],
        "yaml_file": "small.yaml",
    }
    return {**graph, **changes}


def with_row(index: int, row: list[Any]) -> dict[str, Any]:
    graph = small()
    graph["backbone"] = copy.deepcopy(graph["backbone"])
    graph["backbone"][index] = row
    return graph


@pytest.mark.parametrize("name", slow_between(NAMES))
def test_entries_equal_yolov5s(name: str) -> None:
    golden = SHAPES[name]
    model = on_meta(load_graph(f"{name}.yaml"))
    entries = [
        [key, list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in model.state_dict().items()
    ]
    assert entries == golden["state_dict"]
    assert model.save == golden["save"]
    assert list(model.head.strides) == golden["stride"]
    assert [[row.i, row.f, row.np] for row in model.model] == [
        [i, f, size] for i, f, _, size in golden["layers"]
    ]
    assert len(list(model.modules())) == golden["modules_all"]
    assert sum(not list(module.children()) for module in model.modules()) == golden["modules_leaf"]


def test_article_graph_has_yolov5s_entries_under_stable_keys() -> None:
    golden = SHAPES["yolov5s_SimAM(seed)"]
    model = on_meta(article())
    assert [indexed(model, key) for key in model.state_dict()] == [
        key for key, *_ in golden["state_dict"]
    ]
    assert model.save == golden["save"]
    assert [row_info(row).key for row in model.model][17:20] == ["17", "17_SimAM", "18"]
    assert all(row.e_lambda == 1e-4 for row in model.model if row.type == "SimAM")


@pytest.mark.parametrize("name", ["yolov5n", "yolov5-p2", "yolov5-p7", "yolov3-tiny"])
def test_anchors_in_cells(name: str) -> None:
    golden = SHAPES[name]
    model = DetectionModel({**load_graph(f"{name}.yaml"), "width_multiple": 0.0625})
    assert model.head.anchors.tolist() == golden["anchors_grid"]
    assert model.stride.tolist() == golden["stride"]


def built(name: str) -> DetectionModel:
    graph = article() if "SimAM" in name else load_graph(f"{name.removesuffix('_nc3')}.yaml")
    return DetectionModel(graph, class_count=3 if name.endswith("_nc3") else None)


def deviation(found: list[torch.Tensor], expected: list[Any]) -> float:
    """Largest error, relative to each expected map's own standard deviation."""
    pairs = (
        (level.numpy(), np.asarray(golden)) for level, golden in zip(found, expected, strict=True)
    )
    return max(float(np.abs(level - golden).max() / golden.std()) for level, golden in pairs)


@torch.no_grad()
def outputs(name: str, dtype: torch.dtype) -> dict[str, Any]:
    """Maps of the filled graph in evaluation and training, and after calibrating batch norms.

    The calibrated network is kept under "model", its input under "x".
    """
    model, x = built(name).to(dtype), image(7, 1, 3, *FORWARD[name]).to(dtype)
    fill(model)
    raw, train = model.eval()(x)[1], model.train()(x)
    fill(model)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    model(image(8, 2, 3, 256, 256).to(dtype))
    decoded, cal_raw = model.eval()(x)
    return {
        "raw": raw,
        "train": train,
        "cal_raw": cal_raw,
        "decoded": decoded,
        "model": model,
        "x": x,
    }


@pytest.fixture(scope="module", params=FORWARD)
def name(request: pytest.FixtureRequest) -> str:
    """A graph with golden outputs; its tests run one after the other."""
    return request.param


@pytest.fixture(scope="module")
def double(name: str) -> dict[str, Any]:
    """Outputs in float64, computed once."""
    return outputs(name, torch.float64)


@torch.no_grad()
def test_outputs_equal_yolov5s(name: str, double: dict[str, Any]) -> None:
    """In float64 only the golden program's own rounding remains, which computed in float32.

    The limits are those of the golden files; the deepest maps of yolov5n6 have 2x2 cells, whose
    batch statistics amplify rounding.
    """
    golden, found = np.load(GOLDEN / f"forward_{name}.npz"), double
    deep = name == "yolov5n6"
    limits = {"raw": 2e-5, "train": 4e-3 if deep else 5e-4, "cal_raw": 1e-3 if deep else 3e-4}
    for stem, limit in limits.items():
        levels = found[stem]
        assert deviation(levels, [golden[f"{stem}{i}"] for i in range(len(levels))]) < limit, stem
    boxes, scores = found["decoded"].split((4, found["decoded"].shape[-1] - 4), dim=-1)
    pixels, share = (5.0, 2e-3) if deep else (0.15, 5e-4)
    np.testing.assert_allclose(scores.numpy(), golden["cal_decoded"][..., 4:], rtol=0, atol=share)
    np.testing.assert_allclose(
        boxes.numpy(), golden["cal_decoded"][..., :4], rtol=1e-3, atol=pixels
    )
    if "cal_tta" in golden:
        augmented = found["model"](found["x"], augment=True)
        assert augmented[1] is None
        np.testing.assert_allclose(augmented[0].numpy(), golden["cal_tta"], rtol=1e-3, atol=0.15)


# Largest deviation of float32 from float64 in one thread with AVX-512, AVX2 and SSE4.1
# instructions, over all graphs but yolov5n6, and for that one. Other processors add in other
# orders, so three times as much is allowed.
ROUNDING = {"raw": (1.7e-5, 1.2e-5), "train": (5.4e-4, 3.3e-3), "cal_raw": (1.2e-4, 4.6e-4)}


@torch.no_grad()
def test_float32_is_as_near_to_float64_as_its_rounding_lets_it(
    name: str, double: dict[str, Any]
) -> None:
    single = outputs(name, torch.float32)
    for stem, measured in ROUNDING.items():
        assert deviation(single[stem], double[stem]) < 3 * measured[name == "yolov5n6"], stem
    assert single["decoded"].dtype == torch.float32


@torch.no_grad()
def test_fusing_changes_no_output(double: dict[str, Any]) -> None:
    model = copy.deepcopy(double["model"]).fuse()
    fused = model(double["x"])[0]
    np.testing.assert_allclose(fused.numpy(), double["decoded"].numpy(), rtol=1e-4, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_fresh_norms_and_bias_prior() -> None:
    model = DetectionModel(small())
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, int(norm.num_batches_tracked)) for norm in norms} == {
        (1e-3, 0.03, 1)
    }
    assert all((norm.running_var == 0.9).all() and (norm.running_mean == 0).all() for norm in norms)
    conv = model.head.m[1]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    spread = conv.weight[0].numel() ** -0.5  # of PyTorch's own bias, which the prior is added to
    bias = conv.bias.view(2, 7)
    assert (bias[:, 4] - np.log(8 / 80**2)).abs().max() <= spread
    assert (bias[:, 5:] - np.log(0.6 / 1.00001)).abs().max() <= spread


def test_an_inserted_row_changes_no_other_rows_weights() -> None:
    plain, attended = (
        DetectionModel(load_graph("yolov5s.yaml")),
        DetectionModel(load_graph("yolov5s_SimAM.yaml")),
    )
    ours, theirs = plain.state_dict(), attended.state_dict()
    assert list(ours) == list(theirs)
    assert len(ours) == 349
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    attended.load_state_dict(ours)


@pytest.mark.parametrize("place", [0, 1, 3, 9, 10, 18, 24])
def test_keys_stay_wherever_a_row_is_inserted(place: int) -> None:
    """Every entry whose meaning stays has the plain graph's key; by row number few would."""
    golden = json.loads((GOLDEN / "transfer.json").read_text())
    graph = load_graph("yolov5s.yaml")
    rows = [[shifted(f, place), *rest] for f, *rest in graph["backbone"] + graph["head"]]
    graph.update(backbone=[*rows[:place], [-1, 1, "SimAM", []]], head=rows[place:])
    plain, inserted = on_meta(load_graph("yolov5s.yaml")).state_dict(), on_meta(graph).state_dict()
    assert list(plain) == list(inserted)
    if place:
        moved = sum("anchor" not in key for key in inserted)
        assert moved == golden["SimAM inserted, nc80"][str(place)]["possible_by_row"] == 348


def shifted(source: Any, place: int) -> Any:
    """`from` as it must be after a row was inserted at place.

    Absolute references to a row keep reading that row.
    """
    if isinstance(source, list):
        return [shifted(part, place) for part in source]
    return source + 1 if source >= place else source


def test_a_network_on_the_meta_device_is_the_same_without_values() -> None:
    """There it is built once, and what measured the strides is the network itself."""
    real, empty = DetectionModel(small()), on_meta(small())
    assert all(module.training for module in empty.modules())
    assert all(value.is_meta for value in empty.state_dict().values())
    for one in ("save", "map_sizes", "graph", "names", "warnings"):
        assert getattr(empty, one) == getattr(real, one)
    assert str(empty) == str(real)
    assert [(key, value.shape) for key, value in empty.state_dict().items()] == [
        (key, value.shape) for key, value in real.state_dict().items()
    ]


def test_seed_decides_weights() -> None:
    first, second, other = (
        DetectionModel(small(), seed=seed).state_dict()["model.0.conv.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_keys_of_several_attention_rows() -> None:
    graph = small(
        backbone=[
            [-1, 1, "SimAM", []],
            *small()["backbone"][:2],
            [-1, 2, "SimAM", []],
            [-1, 1, "SimAM", []],
        ]
    )
    graph["head"] = [[-1, 1, "Conv", [16, 3, 2]], [[4, 5], 1, "Detect", ["nc", "anchors"]]]
    model = DetectionModel(graph)
    assert [row_info(row).key for row in model.model] == [
        "input_SimAM",
        "0",
        "1",
        "1_SimAM",
        "1_SimAM_2",
        "2",
        "3",
    ]
    assert isinstance(model.model[3], nn.Sequential)
    assert len(model.model[3]) == 2


def test_overrides_reach_graph_head_and_names() -> None:
    model = DetectionModel(small(), class_count=3, anchors=5.0, names=["a", "b", "c"])
    assert (model.graph["nc"], model.graph["anchors"], model.names) == (
        3,
        5,
        {0: "a", 1: "b", 2: "c"},
    )
    assert model.head.m[0].weight.shape[0] == 5 * 8
    again = DetectionModel(model.graph)
    again.load_state_dict(model.state_dict())
    with pytest.raises(UserError, match="2 class names"):
        DetectionModel(small(), class_count=3, names=["a", "b"])


def slim(name: str) -> DetectionModel:
    """A copy, as EMA makes it, of a graph at a sixteenth of its width, in channels-last order."""
    model = DetectionModel({**load_graph(f"{name}.yaml"), "width_multiple": 0.0625}, class_count=2)
    return copy.deepcopy(model).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["yolov5s_SimAM", "yolov5s-ghost", "yolov5s-transformer"])
def test_trains_in_bf16_channels_last(name: str) -> None:
    model = slim(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = model(image(1, 2, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    assert [level.shape for level in raw] == [(2, 3, side, side, 7) for side in (8, 4, 2)]
    sum(level.float().square().mean() for level in raw).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.slow
def test_compiles_without_a_break() -> None:
    model, x = slim("yolov5s_SimAM"), image(1, 2, 3, 64, 64)
    raw = torch.compile(model, backend="eager", fullgraph=True)(x)
    sum(level.square().mean() for level in raw).backward()
    decoded = torch.compile(model.eval(), backend="eager", fullgraph=True)(x)[0]
    torch.testing.assert_close(decoded, model(x)[0])


def test_set_anchors_in_pixels() -> None:
    model = DetectionModel(small())
    model.set_anchors(torch.tensor([[[4.0, 8.0], [12.0, 16.0]], [[20.0, 24.0], [28.0, 32.0]]]))
    assert model.spec.anchors == (((4, 8), (12, 16)), ((20, 24), (28, 32)))
    assert model.head.anchors[1, 0].tolist() == [20 / 8, 24 / 8]
    assert model.graph["anchors"] == [[4, 8, 12, 16], [20, 24, 28, 32]]


def test_channel_that_equals_the_heads_is_not_scaled() -> None:
    graph = small(width_multiple=0.5)
    graph["backbone"] = [
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [14, 3, 2]],
        [-1, 1, "Conv", ["no"]],
    ]
    assert [row_info(row).width for row in DetectionModel(graph).model][:3] == [8, 14, 14]


def test_activation_is_the_graphs_own() -> None:
    leaky = DetectionModel(small(activation="nn.LeakyReLU(0.1)"))
    kinds = {type(module) for module in leaky.modules()}
    assert nn.LeakyReLU in kinds
    assert not any(issubclass(kind, nn.SiLU) for kind in kinds)
    assert any(isinstance(module, nn.SiLU) for module in DetectionModel(small()).modules())
    with pytest.raises(UserError, match=r"small.yaml: activation: __import__"):
        DetectionModel(small(activation="__import__('os').system('true')"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-1, 1, "Covn", [16]], "row 1: Covn .*did you mean Conv"),
        ([5, 1, "Conv", [16]], "row 1: from 5: .*cyclic"),
        ([1, 1, "Conv", [16]], "row 1: from 1: .*this row itself"),
        ([-3, 1, "Conv", [16]], "row 1: from -3: there is no row -2"),
        ([True, 1, "Conv", [16]], "row 1: from True"),
        ([[0], 1, "Conv", [16]], "row 1: Conv .*takes one row"),
        ([-1, 1, "Concat", [1]], "row 1: Concat .*takes a list"),
        ([[-1, 0], 1, "Concat", [2]], "row 1: Concat .*write \\[1\\]"),
        ([-1, "3", "Conv", [16]], "row 1: number 3"),
        ([-1, 1, "Conv", []], "row 1: Conv .*output channels"),
        ([-1, 1, "Conv", [-4]], "row 1: Conv .*output channels"),
        ([-1, 1, "Conv", [10**9]], "row 1: 1000000000: is not a sensible"),
        ([-1, 1, "Conv", [16, float("nan")]], "row 1: nan"),
        ([-1, 1, "Conv", [16, 3, 2, 1, 3]], "row 1: Conv .*divisible by groups"),
        ([-1, 1, "Conv", [16, 3, 2, 1, 1, 1, True, 9]], "row 1: Conv .*argument"),
        ([-1, 1, "Conv", [16, 3, 7]], "row 4: from 2: 19x19 cells"),
        ([-1, 1, "nn.MaxPool2d", [0]], "row 1: nn.MaxPool2d"),
        ([-1, 1, "nn.Upsample", [None, 60000]], "row 1: nn.Upsample .*which no row can use"),
        ([-1, 1, "Conv", {"c2": 16}], "row 1: Conv .*only attention rows take a mapping"),
        ([-1, 1, "nn.Upsample", [None, 2, "nerest"]], "row 1: nn.Upsample"),
        ([-1, 1, "SimAM", {"lambda": 1e-4}], "row 1: SimAM .*no such argument; it takes e_lambda"),
        ([-1, 1, "SimAM", {"e_lambda": 512}], "row 1: SimAM .*channel count"),
        ([-1, 1, "SimAM", [0.0]], "row 1: SimAM .*above 0"),
        ([-1, 1, "Detect", ["nc", "anchors"]], "row 1: Detect"),
        ([-1, 1, "Conv"], "row 1: .*list of four"),
        ("Conv", "row 1: Conv: must be a list of four"),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_row(row: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^small.yaml: ({message})") as caught:
        on_meta(with_row(1, row))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nc": "two"}, "nc: two: must be a whole number"),
        ({"nc": True}, "nc: True"),
        ({"width_multiple": 1e9}, "width_multiple: 1000000000.0"),
        (
            {"width_multiple": 100, "backbone": [[-1, 1, "Conv", [600, 3, 2]]] * 3},
            ".* parameters: are too many",
        ),
        (
            {"width_multiple": 100, "backbone": [[-1, 1, "Conv", [700]]] * 3},
            "row 0: Conv .*70000 channels at this width_multiple",
        ),
        ({"depth_multiple": 0}, "depth_multiple: 0"),
        ({"anchors": [[1, 2, 3]]}, "anchors: .*: must be"),
        ({"anchors": [[10, 13]]}, "row 4: Detect .*reads 2 maps, but anchors has 1 levels"),
        ({"anchors": "many"}, "anchors: many"),
        ({"backbone": None}, "backbone: None: must be a list"),
        ({"head": [[-1, 1, "Conv", [16, 3, 2]]]}, "row 3: Conv .*the head"),
        ({"head": [[[1, 2], 1, "Detect", [80, "anchors"]]]}, "row 3: Detect .*\\[nc, anchors\\]"),
        (
            {"head": [[[0, 2], 1, "Concat", [1]], [[2, 3], 1, "Detect", ["nc", "anchors"]]]},
            "row 3: Concat .*differ in size",
        ),
        ({"backbone": [[-1, 1, "Conv", [8, 3, 1, 0]]] * 3}, "row 4: from 2: .*no whole stride"),
    ],
)
def test_a_bad_graph_is_one_line_with_file_and_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^small.yaml: ({message})"):
        on_meta(small(**changes))


@pytest.mark.parametrize("key", ["nc", "anchors", "backbone", "depth_multiple"])
def test_a_missing_key_is_named(key: str) -> None:
    graph = small()
    del graph[key]
    with pytest.raises(UserError, match=f"small.yaml: {key}: is missing"):
        on_meta(graph)


def test_unknown_keys_and_wrong_channel_counts_are_warnings() -> None:
    graph = with_row(1, [-1, 1, "SimAM", [512, 512, 1e-3]])
    graph["widht_multiple"] = 1
    graph["head"][0] = [-1, 1, "Conv", [16, 3, 2]]
    model = on_meta(graph)
    assert model.model[1].e_lambda == 1e-3
    assert [warning.split(": ")[1:] for warning in model.warnings] == [
        ["widht_multiple", "nothing reads this key"],
        [
            "row 1",
            "SimAM [512, 512, 0.001]",
            "declares 512 channels but gets 8; the real number is used",
        ],
    ]


def mutated(graph: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """The graph with one to three values, anywhere, replaced, dropped or doubled."""
    numbers: list[Any] = [0, -1, -7, 3, 1e9, -1e-9, float("nan"), float("inf"), 10**30, "1e-4"]
    names: list[Any] = [
        "",
        "x" * 500,
        "nc",
        "anchors",
        "Conv",
        "C3",
        "SimAM",
        "Concat",
        "Detect",
        "nn.Upsample",
    ]
    values = [*numbers, *names, None, True, [], [[]], {}, {"a": 1}, b"raw"]
    graph = copy.deepcopy(graph)
    for _ in range(random.integers(1, 4)):
        part = graph.get(("backbone", "head")[random.integers(2)])
        place: Any = part if isinstance(part, list) and random.random() < 0.8 else graph
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = keys[random.integers(len(keys))]
            if isinstance(place[key], (dict, list)) and place[key] and random.random() < 0.9:
                place = place[key]
                continue
            action = random.integers(4)
            if action == 0 and not (place is graph and key == "yaml_file"):
                del place[key]
            elif action == 1 and isinstance(place, list):
                place.insert(key, copy.deepcopy(place[key]))
            else:
                place[key] = copy.deepcopy(values[random.integers(len(values))])
            break
    return graph


def test_mutated_graphs_build_or_are_refused_in_one_line() -> None:
    random = np.random.Generator(np.random.PCG64(5))
    graph = load_graph("yolov5s_SimAM.yaml")
    graph.update(depth_multiple=0.33, width_multiple=0.0625, nc=3)
    messages = []
    for _ in range(150):
        try:
            on_meta(mutated(graph, random))
        except UserError as error:
            messages.append(str(error))
    assert 60 < len(messages) < 145
    assert not [message for message in messages if "\n" in message or len(message) > 1000]


def test_script_starts_light(tmp_path: Any) -> None:
    """A fresh process prints the right totals and imports nothing heavy besides torch."""
    code = (
        "import runpy, sys, torch; before = set(sys.modules)\nsys.argv = ['models/yolo.py',"
        " '--cfg', 'models/yolov5s_SimAM.yaml']\ntry: runpy.run_path('models/yolo.py',"
        " run_name='__main__')\nexcept SystemExit as done: assert not done.code\nheavy = {'cv2',"
        " 'pandas', 'matplotlib', 'torchvision', 'scipy'} & (set(sys.modules) - before)\nassert not"
        " heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert (
        "128 layers, 7,235,389 parameters, 7,235,389 gradients, 16.4 GFLOPs (16.6 as YOLOv5 counts)"
        in done.stdout
    )
    assert "verdict: the graph is sound" in done.stdout


def test_script_ends_with_2_for_a_bad_graph(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dead.yaml"
    graph = small(head=[[0, 1, "Conv", [16, 3, 2]], [[1, 3], 1, "Detect", ["nc", "anchors"]]])
    file.write_text(yaml.safe_dump(graph))
    assert [warning.split(": ")[1:] for warning in warnings_of(on_meta(graph))] == [
        ["row 2", "C3", "no other row reads this row"],
        [
            "row 4",
            "Detect from [1, 3]",
            (
                "reads row 1, Conv, whose stage goes on to row 2, C3, of the same size; 2 was "
                "probably meant, as rows inserted above move the numbers"
            ),
        ],
        ["2 things in its wiring", "see python models/yolo.py --lint small.yaml"],
    ]
    assert run_main(main, ["--cfg", str(file)]) == 2
    assert "row 2: C3: no other row reads this row" in capsys.readouterr().err
    assert run_main(main, ["--cfg", "models/none.yaml"]) == 2
    assert run_main(main, ["--imgsz", "0"]) == 2
