"""YOLOv8 and YOLO11 graphs: golden keys, sizes, outputs, strides, biases, scales, refusals."""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.command import main
from models.costs.profile import count_costs, gigaflops
from models.graph.info import row_info
from models.graph.load import load_graph
from models.heads.anchor_free import DetectV8
from models.weights.ensemble import Ensemble
from models.yolo import DetectionModel
from tests.models.fill import GOLDEN_V8, fill, image
from tests.models.sizes import slow_between
from tests.models.test_yolo import deviation, mutated
from utils.errors import UserError, run_main

KEYS: dict[str, Any] = json.loads(
    gzip.decompress((GOLDEN_V8 / "state_dict_keys.json.gz").read_bytes())
)["models"]
SIZES: dict[str, Any] = json.loads((GOLDEN_V8 / "model_sizes.json").read_text())["models"]
ROWS: dict[str, Any] = json.loads((GOLDEN_V8 / "layer_rows.json").read_text())["models"]
CASES: dict[str, Any] = json.loads((GOLDEN_V8 / "yaml_cases.json").read_text())
FORWARD = {"yolov8n_nc80": 80, "yolov8s_nc3": 3, "yolo11n_nc80": 80}


def on_meta(graph: dict[str, Any], **options: Any) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(graph, **options)


def named(name: str) -> dict[str, Any]:
    return load_graph(f"{name.split('_')[0]}.yaml")


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def leaves(model: nn.Module) -> int:
    return sum(not list(module.children()) for module in model.modules())


@pytest.mark.parametrize("name", slow_between(KEYS))
def test_entries_equal_upstreams(name: str) -> None:
    golden = KEYS[name]
    model = on_meta(named(name), class_count=golden["nc"])
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == golden["keys"]
    assert model.save == golden["save"]
    assert list(model.head.strides) == golden["stride"]
    assert parameters(model) == golden["params"]
    assert (
        sum(value.numel() for value in model.parameters() if value.requires_grad)
        == golden["trainable"]
    )
    assert model.warnings == []


@pytest.mark.parametrize("name", slow_between(ROWS))
def test_rows_equal_upstreams(name: str) -> None:
    found = [
        [row.i, row.f, row.np, row.type.rpartition(".")[2]] for row in on_meta(named(name)).model
    ]
    found[-1][-1] = found[-1][-1].removesuffix("V8")
    assert found == ROWS[name]


@pytest.mark.parametrize("name", slow_between(SIZES))
def test_sizes_and_gigaflops_equal_upstreams(name: str) -> None:
    golden, model = SIZES[name], on_meta(named(name))
    assert (leaves(model), parameters(model), len(model.state_dict())) == (
        golden["layers"], golden["params"], golden["sd"],
    )  # fmt: skip
    fused, plain = gigaflops(count_costs(model, 640))
    assert (plain, fused) == pytest.approx((golden["gflops"], golden["fused_gflops"]), rel=1e-9)
    model.fuse()
    assert (leaves(model), parameters(model)) == (golden["fused_layers"], golden["fused_params"])


@pytest.mark.parametrize("name", ["yolov8n-p2", "yolov8s-p2", "yolov8n-p6", "yolov8s-p6"])
def test_fourth_level(name: str) -> None:
    model, golden = on_meta(load_graph(f"{name}.yaml")), CASES["variants"][f"{name}.yaml"]
    assert parameters(model) == golden["params"]
    assert model.head.strides == ((4, 8, 16, 32) if "p2" in name else (8, 16, 32, 64))
    assert model.save == golden.get("save", model.save)


def flat(raw: list[torch.Tensor]) -> torch.Tensor:
    """Raw maps as upstream joins them, [1, C, N]."""
    return torch.cat([level.flatten(2) for level in raw], dim=2)


@pytest.fixture(scope="module", params=FORWARD)
def name(request: pytest.FixtureRequest) -> str:
    """A network with golden outputs; its tests run one after the other."""
    return request.param


@pytest.fixture(scope="module")
def single(name: str) -> DetectionModel:
    """The same network in float32, of which a test takes a copy."""
    return filled(name, torch.float32)


@pytest.fixture(scope="module")
def double(name: str) -> dict[str, Any]:
    """What a network gives in float64, computed once: maps in evaluation ("raw"), in training
    ("train") and of variant B ("B_raw", and decoded), its state after the training pass ("state"),
    and the calm network ("model").
    """
    model, x = filled(name, torch.float64), image(7, 1, 3, 64, 96).double()
    with torch.no_grad():
        found: dict[str, Any] = {"raw": model.eval()(x)[1], "train": model.train()(x)}
        found["state"] = {key: value.clone() for key, value in model.state_dict().items()}
        found["decoded"], found["B_raw"] = calm(model)(x)
    return {**found, "model": model, "x": x}


def check_raw(raw: list[torch.Tensor], golden: Any, stem: str, limit: float) -> None:
    """Largest error relative to the golden arrays' own largest value."""
    boxes, scores = flat(raw).split((64, raw[0].shape[1] - 64), dim=1)
    for found, name in ((boxes, "boxes"), (scores, "scores")):
        expected = golden[f"{stem}{name}"]
        assert np.abs(found.numpy() - expected).max() <= limit * np.abs(expected).max(), name


def filled(name: str, dtype: torch.dtype) -> DetectionModel:
    model = DetectionModel(named(name), class_count=FORWARD[name]).to(dtype)
    fill(model)
    return model


def calm(model: DetectionModel) -> DetectionModel:
    """Variant B of the golden files, in evaluation mode.

    Its activations are smaller and do not saturate.
    """
    fill(model)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_var *= 1.5
    return model.eval()


@torch.no_grad()
def test_outputs_equal_upstreams(name: str, double: dict[str, Any]) -> None:
    """In float64 only the golden program's own rounding remains, which computed in float32.

    In training mode that is 1.4e-4 of the largest value for yolo11n, in the others less.
    """
    golden, state = np.load(GOLDEN_V8 / f"forward_{name}.npz"), double["state"]
    check_raw(double["raw"], golden, "raw_", 1e-5)
    check_raw(double["train"], golden, "train_", 2e-4)
    first = next(
        key for key in state if key.startswith("model.2") and "cv2.0.0.bn.running_mean" in key
    )
    for stem, prefix in (("bn0", "model.0.bn"), ("bnH", first.removesuffix(".running_mean"))):
        for part in ("mean", "var"):
            expected = golden[f"{stem}_running_{part}_after"]
            np.testing.assert_allclose(
                state[f"{prefix}.running_{part}"].numpy(), expected, rtol=1e-4, atol=1e-4
            )

    check_raw(double["B_raw"], golden, "B_", 1e-5)
    check_decoded(double["decoded"], golden["B_decoded"], 1e-3, 1e-5)
    model = copy.deepcopy(double["model"]).fuse()
    check_decoded(model(double["x"])[0], golden["B_decoded"], 1e-3, 1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_float32_is_as_near_to_float64_as_its_rounding_lets_it(
    single: DetectionModel, double: dict[str, Any], memory_format: torch.memory_format
) -> None:
    """Relative to each map's standard deviation; largest measured in one thread with AVX-512, AVX2
    and SSE4.1:

    1.0e-5 in evaluation, 1.4e-3 in training, 1.1e-5 for variant B. Three times as much is allowed,
    since other processors add in other orders.
    """
    x = image(7, 1, 3, 64, 96)
    model = copy.deepcopy(single).to(memory_format=memory_format)
    assert deviation(model.eval()(x)[1], double["raw"]) < 3e-5
    assert deviation(model.train()(x), double["train"]) < 4e-3
    decoded, raw = calm(model)(x)
    assert deviation(raw, double["B_raw"]) < 3e-5
    assert decoded.dtype == torch.float32


def check_decoded(decoded: torch.Tensor, expected: np.ndarray, pixels: float, score: float) -> None:
    found = decoded.transpose(1, 2).numpy()
    assert np.abs(found[:, :4] - expected[:, :4]).max() < pixels
    assert np.abs(found[:, 4:] - expected[:, 4:]).max() < score


def test_fresh_norms_are_untouched() -> None:
    model = DetectionModel(tiny())
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, int(norm.num_batches_tracked)) for norm in norms} == {
        (1e-3, 0.03, 0)
    }
    assert all((norm.running_var == 1).all() and (norm.running_mean == 0).all() for norm in norms)


def tiny(**changes: Any) -> dict[str, Any]:
    """YOLOv8's graph at a sixteenth of its width, for two classes."""
    return {**load_graph("yolov8n.yaml"), "scales": {"n": [0.1, 0.0625, 1024]}, "nc": 2, **changes}


@pytest.mark.parametrize(
    ("changes", "case"),
    [
        ({"reg_max": 8}, "reg_max 8"),
        ({"activation": "torch.nn.ReLU()"}, "activation torch.nn.ReLU()"),
        (
            {"depth_multiple": 1.0, "width_multiple": 1.0},
            "scales present + depth/width_multiple 1.0 (ignored)",
        ),
        ({"scale": ""}, "scales present, scale empty -> first key"),
        ({"scales": None, "depth_multiple": 1.0, "width_multiple": 1.0},
         "no scales, depth/width_multiple 1.0, no max_channels"),
    ],
)  # fmt: skip
def test_variants_have_upstreams_sizes(changes: dict[str, Any], case: str) -> None:
    graph = {
        key: value
        for key, value in {**load_graph("yolov8n.yaml"), **changes}.items()
        if value is not None
    }
    assert parameters(on_meta(graph)) == CASES["variants"][case]["params"]


def test_one_c3k2_makes_the_class_branch_depthwise() -> None:
    counts = []
    for scale in "nm":
        graph = load_graph("yolov8.yaml", scale)
        graph["backbone"] = copy.deepcopy(graph["backbone"])
        graph["backbone"][2] = [-1, 3, "C3k2", [128, False, 0.25]]
        model = on_meta(graph)
        assert hasattr(model.head.cv3[0][0][0], "conv")  # type: ignore[union-attr, index]
        counts.append(parameters(model.model[-1]))
    plain = parameters(on_meta(load_graph("yolov8n.yaml")).model[-1])
    depthwise = parameters(on_meta(load_graph("yolo11n.yaml")).model[-1])
    assert counts[0] == depthwise < plain


def test_two_levels() -> None:
    graph = load_graph("yolov8n.yaml")
    graph["head"] = [*graph["head"][:-1], [[15, 18], 1, "Detect", ["nc"]]]
    model = on_meta(graph)
    golden = CASES["variants"]["two-level Detect [15,18]"]
    assert (parameters(model), list(model.head.strides)) == (golden["params"], golden["stride"])


def test_a_v8_graph_of_v5_blocks() -> None:
    graph = {**load_graph("yolov5n.yaml"), "width_multiple": 0.0625}
    del graph["anchors"]
    graph["head"] = [*graph["head"][:-1], [graph["head"][-1][0], 1, "Detect", ["nc"]]]
    model = DetectionModel(graph).eval()
    assert not model.family.has_objectness
    assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 84, 84)


def test_a_checkpoint_rebuilds_its_scale() -> None:
    model = on_meta(load_graph("yolov8.yaml", "m"), class_count=3, names=["a", "b", "c"])
    again = on_meta(model.graph)
    assert list(again.state_dict()) == list(model.state_dict())
    assert parameters(again) == parameters(model)
    assert (again.graph["scale"], again.graph["nc"]) == ("m", 3)
    first = on_meta(load_graph("yolov8.yaml"))
    assert first.graph["scale"] == "n"
    assert len(first.warnings) == 1
    assert on_meta(first.graph).warnings == []


def test_anchors_have_no_place() -> None:
    with pytest.raises(UserError, match=r"anchors: .*yolov8.yaml.* none"):
        on_meta(load_graph("yolov8n.yaml"), anchors=3)
    model = on_meta(load_graph("yolov8n.yaml"))
    assert not model.family.has_objectness
    assert not model.spec.anchors
    assert model.spec.reg_max == 16
    with pytest.raises(UserError, match="none"):
        model.set_anchors(torch.ones(3, 3, 2))
    assert on_meta(load_graph("yolov5n.yaml")).family.has_objectness


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": [[[4], 1, "Detect", ["nc", 16]]]}, r"row 10: Detect .*write \[nc\]"),
        ({"head": [[[4], 1, "Detect", [3]]]}, r"row 10: Detect .*write \[nc\]"),
        ({"head": [[[4], 1, "Detect", ["nc", "anchors"]]]}, "anchors: is missing"),
        ({"anchors": 3}, r"row 22: Detect .*take out `anchors`"),
        ({"reg_max": 0}, "reg_max: 0: must be a whole number from 1"),
        ({"box_bias": "much"}, "box_bias: much"),
        ({"scale": "q"}, "scale: q: is not among scales"),
    ],
)
def test_a_bad_graph_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"yolov8.yaml: ({message})") as caught:
        on_meta({**load_graph("yolov8n.yaml"), **changes})
    assert "\n" not in str(caught.value)


def test_c2psa_keeps_its_channels() -> None:
    graph = load_graph("yolo11n.yaml")
    graph["backbone"] = [*graph["backbone"][:-1], [-1, 2, "C2PSA", [512]]]
    with pytest.raises(UserError, match=r"row 10: C2PSA \[512\]: keeps the number of channels"):
        on_meta(graph)


def with_attention(graph: dict[str, Any], place: int) -> dict[str, Any]:
    """The graph with SimAM inserted at place and every number adjusted."""

    def moved(source: Any) -> Any:
        return (
            [moved(part) for part in source]
            if isinstance(source, list)
            else source + (source >= place)
        )

    rows = [[moved(source), *rest] for source, *rest in graph["backbone"] + graph["head"]]
    return {**graph, "backbone": [*rows[:place], [-1, 1, "SimAM", []]], "head": rows[place:]}


@pytest.mark.parametrize("place", [1, 3, 10, 16, 22])
def test_keys_stay_wherever_attention_is_inserted(place: int) -> None:
    plain, inserted = (
        on_meta(load_graph("yolov8n.yaml")),
        on_meta(with_attention(load_graph("yolov8n.yaml"), place)),
    )
    assert list(plain.state_dict()) == list(inserted.state_dict())
    assert row_info(inserted.model[place]).key == f"{place - 1}_SimAM"


@torch.no_grad()
def test_augmented_rows_are_those_of_three_views() -> None:
    model = DetectionModel(tiny()).eval()
    rows, raw = model(image(1, 2, 3, 64, 96), augment=True)
    assert raw is None
    assert rows.shape == (
        2,
        (126 - 6) + 126 + (126 - 96),
        6,
    )  # .83 and .67 of 64x96 are padded to 64x96 again
    assert torch.allclose(rows[:, :120], model(image(1, 2, 3, 64, 96))[0][:, :120])


def test_ensemble_needs_heads_of_one_kind() -> None:
    ours = DetectionModel(tiny())
    theirs = DetectionModel({**load_graph("yolov5n.yaml"), "width_multiple": 0.0625, "nc": 2})
    both = Ensemble([ours.eval(), ours.eval()], ["a.pt", "b.pt"])
    assert not both.family.has_objectness
    assert both(torch.zeros(1, 3, 64, 64))[0].shape == (1, 2 * 84, 6)
    with pytest.raises(UserError, match=r"b\.pt: has another kind of head than a\.pt"):
        Ensemble([ours, theirs], ["a.pt", "b.pt"])


def test_trains_in_bf16_channels_last() -> None:
    for graph in (tiny(), {**load_graph("yolo11n.yaml"), "scales": {"n": [0.5, 0.0625, 1024]}}):
        model = DetectionModel(graph).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            raw = model(image(1, 2, 3, 64, 64).contiguous(memory_format=torch.channels_last))
        assert all(level.is_contiguous(memory_format=torch.channels_last) for level in raw)
        sum(level.float().square().mean() for level in raw).backward()  # type: ignore[union-attr]
        for key, value in model.named_parameters():
            assert (value.grad is None) == key.endswith("dfl.conv.weight"), key


def test_mutated_graphs_build_or_are_refused_in_one_line() -> None:
    random = np.random.Generator(np.random.PCG64(5))
    graph = {**load_graph("yolo11n.yaml"), "nc": 3, "scales": {"n": [0.5, 0.0625, 1024]}}
    messages = []
    for _ in range(120):
        try:
            on_meta(mutated(graph, random))
        except UserError as error:
            messages.append(str(error))
    assert 60 < len(messages) < 120
    assert not [message for message in messages if "\n" in message or len(message) > 1000]


@pytest.mark.parametrize("name", ["yolov8n", "yolov5n"])
def test_builds_in_inference_mode(name: str) -> None:
    """There PyTorch asks models/graph/shape_mode.py for an upsampled map without its size."""
    with torch.inference_mode():
        assert on_meta(load_graph(f"{name}.yaml")).head.strides == (8, 16, 32)


@pytest.mark.slow
def test_compiles_without_a_break() -> None:
    model, x = DetectionModel(tiny()), image(1, 2, 3, 64, 64)
    raw = torch.compile(model, backend="eager", fullgraph=True)(x)
    sum(level.square().mean() for level in raw).backward()
    with torch.no_grad():
        decoded = torch.compile(model.eval(), backend="eager", fullgraph=True)(x)[0]
        torch.testing.assert_close(decoded, model(x)[0])


def test_bins_never_learn() -> None:
    model = DetectionModel(tiny())
    assert isinstance(model.head, DetectV8)
    values = model.head.dfl.conv.weight
    for thawed in (model, model.model[-1], model.head.dfl):
        thawed.requires_grad_(False)
        thawed.requires_grad_(True)
        assert not values.requires_grad
    assert all(
        parameter.requires_grad for parameter in model.parameters() if parameter is not values
    )


def test_script_takes_a_scale(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(main, ["--cfg", "models/yolov8n.yaml"]) == 0
    printed = capsys.readouterr().out
    assert (
        "YOLOv8n summary: 129 layers, 3,157,200 parameters, 3,157,184 gradients, 8.7 GFLOPs (8.9"
        " as YO" in printed
    )
    assert printed.rstrip().endswith("verdict: the graph is sound")
    assert run_main(main, ["--cfg", "models/yolo11.yaml", "--scale", "s"]) == 0
    assert "YOLO11s summary: 181 layers, 9,458,752 parameters" in capsys.readouterr().out
    assert run_main(main, ["--cfg", "models/yolov8.yaml", "--scale", "q"]) == 2
    assert "scale: q: is not among scales; choose one of n, s, m, l, x" in capsys.readouterr().err
    assert run_main(main, ["--cfg", "models/yolov5s.yaml", "--scale", "n"]) == 2
    assert "--scale n: models/yolov5s.yaml has no `scales`" in capsys.readouterr().err
