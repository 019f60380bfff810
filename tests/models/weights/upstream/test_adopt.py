"""Checkpoints of the original programs: all of a file is converted, or an error names it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from models.weights.load import from_checkpoint, load_model, read_weights
from models.weights.upstream.adopt import adopt, with_graph
from models.yolo import DetectionModel
from tests.pickles import Name, Thing, archive, program, saved, wrapped
from tests.tiny import FREE_GRAPH, GRAPH
from tests.upstream_files import content_of, upstream_file
from utils.errors import UserError
from utils.pickles.reader import read_saved

EXAMPLES = Path(
    os.environ.get("GOLDEN_CHECKPOINTS", "nowhere")
)  # checkpoints of the original programs, 4 to 6 MB each
graphs = pytest.mark.parametrize("graph", [GRAPH, FREE_GRAPH], ids=["v5", "v8"])


def fresh(graph: dict[str, Any], **changes: Any) -> DetectionModel:
    """A model with unusual statistics and anchors."""
    model = DetectionModel({**graph, **changes}, names=["bright", "dark"], seed=3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean)
    if model.family.has_objectness:
        model.set_anchors(
            [[(8.0, 9.0), (10.0, 16.0), (20.0, 24.0)], [(32.0, 30.0), (40.0, 48.0), (64.0, 80.0)]]
        )
    return model


def put(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else saved(content))
    return path


@graphs
def test_graph_names_weights_and_recipe_come_out_of_the_file(
    graph: dict[str, Any], tmp_path: Path
) -> None:
    model = fresh(graph)
    checkpoint = read_weights(put(tmp_path / "best.pt", upstream_file(model)))
    assert checkpoint.names == {0: "bright", 1: "dark"}
    assert list(checkpoint.state) == list(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(
            checkpoint.state[key], value.half() if value.is_floating_point() else value
        ), key
    assert checkpoint.config == {
        "imgsz": 64,
        "epochs": 3,
        "seed": 1,
        "batch_size": 8,
        "optimizer": "SGD",
    }
    assert checkpoint.hyp["lr0"] == 0.02
    assert checkpoint.data == ""  # a foreign file must not choose which local files are read
    images = torch.rand(1, 3, 64, 96)
    again = from_checkpoint(checkpoint).eval()
    with torch.no_grad():
        expected = model.half().float().eval()(images)[0]
        assert torch.equal(again(images)[0], expected)


def test_attention_takes_its_arguments_from_the_instance(tmp_path: Path) -> None:
    """What a list in YAML means depends on the fork's parser; the instance shows it."""
    rows = [*GRAPH["backbone"][:4], [-1, 1, "SimAM", {"e_lambda": 0.25}], GRAPH["backbone"][5]]
    model = fresh(GRAPH, backbone=rows)
    content = content_of(model)
    content["model"].state["yaml"]["backbone"] = [*rows[:4], [-1, 1, "SimAM", [512]], rows[5]]
    checkpoint = read_weights(put(tmp_path / "best.pt", content))
    assert checkpoint.graph["backbone"][4] == [-1, 1, "SimAM", {"e_lambda": 0.25}]
    assert (
        "model.4.conv.weight" in checkpoint.state
    )  # row 5 of the file, which counts the attention row


@pytest.mark.parametrize(
    "name",
    [
        "SE",
        "CBAM",
        "ECA",
        "GAM",
        "BAM",
        "CoordAttention",
        "TripletAttention",
        "NAM",
        "DoubleAttention",
        "GlobalContext",
        "LSKA",
        "ACmix",
    ],
)
def test_arguments_from_shapes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*GRAPH["backbone"][:4], [-1, 1, name, {}], GRAPH["backbone"][5]]
    model = fresh(GRAPH, backbone=rows)
    content = content_of(model)
    content["model"].state["yaml"]["backbone"] = [*rows[:4], [-1, 1, name, [64]], rows[5]]
    path = put(tmp_path / "best.pt", content)
    checkpoint = read_weights(path)
    assert ("note: GAM: the file does not say" in capsys.readouterr().out) == (name == "GAM")
    assert list(from_checkpoint(checkpoint).state_dict()) == list(model.state_dict())


def test_the_averaged_model_is_preferred(tmp_path: Path) -> None:
    content = content_of(fresh(GRAPH))
    content["ema"], content["model"] = content["model"], content_of(fresh(GRAPH, nc=2))["model"]
    weight = (
        content["ema"]
        .state["_modules"]["model"]
        .state["_modules"]["0"]
        .state["_modules"]["conv"]
        .state
    )
    weight["_parameters"]["weight"] = torch.full_like(weight["_parameters"]["weight"], 0.5)
    assert (
        read_weights(put(tmp_path / "last.pt", content)).state["model.0.conv.weight"].eq(0.5).all()
    )


def test_the_form_of_the_head_is_read_from_its_weights(tmp_path: Path) -> None:
    """Some releases gave the same graph depth-wise class branches, or the width of 80 classes."""
    wide = read_weights(put(tmp_path / "wide.pt", upstream_file(fresh(FREE_GRAPH, class_width=24))))
    assert wide.graph["class_width"] == 24
    deep = read_weights(
        put(tmp_path / "deep.pt", upstream_file(fresh(FREE_GRAPH, class_branch="depthwise")))
    )
    assert deep.graph["class_branch"] == "depthwise"
    assert not {"class_width", "class_branch"} & set(
        read_weights(put(tmp_path / "usual.pt", upstream_file(fresh(FREE_GRAPH)))).graph
    )
    for checkpoint in (wide, deep):
        from_checkpoint(checkpoint)


def row(content: dict[str, Any], number: int) -> dict[str, Any]:
    return content["model"].state["_modules"]["model"].state["_modules"][str(number)].state


def test_an_unusual_activation_is_kept(tmp_path: Path) -> None:
    content = content_of(fresh(GRAPH))
    leaky = Thing(Name("torch.nn.modules.activation", "LeakyReLU"), {"negative_slope": 0.1})

    def replace(thing: Thing) -> None:
        children = thing.state.get("_modules", {})
        if "act" in children:
            children["act"] = leaky
        for child in children.values():
            replace(child)

    replace(content["model"])
    assert (
        read_weights(put(tmp_path / "old.pt", content)).graph["activation"] == "nn.LeakyReLU(0.1)"
    )
    row(content, 1)["_modules"]["act"] = Thing(Name("torch.nn.modules.activation", "ReLU"), {})
    with pytest.raises(
        UserError, match=r"row 1: Conv: has nn.ReLU\(\), where the first Conv has nn.LeakyReLU"
    ):
        read_weights(put(tmp_path / "mixed.pt", content))


def change_shape(content: dict[str, Any]) -> None:
    row(content, 1)["_modules"]["conv"].state["_parameters"]["weight"] = torch.zeros(
        16, 8, 1, 1
    ).half()


def add_weight(content: dict[str, Any]) -> None:
    row(content, 2)["_parameters"] = {"gamma": torch.ones(3).half()}


def lose_weight(content: dict[str, Any]) -> None:
    del row(content, 0)["_modules"]["bn"].state["_buffers"]["running_var"]


def other_epsilon(content: dict[str, Any]) -> None:
    row(content, 0)["_modules"]["bn"].state["eps"] = 1e-5


def other_stride(content: dict[str, Any]) -> None:
    content["model"].state["stride"] = torch.tensor([4.0, 16.0])


def other_dilation(content: dict[str, Any]) -> None:
    row(content, 3)["_modules"]["conv"].state["dilation"] = (2, 2)


def other_module(content: dict[str, Any]) -> None:
    content["model"].state["yaml"]["backbone"][4] = [-1, 1, "Mamba", []]
    content["model"].state["_modules"]["model"].state["_modules"]["4"].kind = Name(
        "models.mamba", "Mamba"
    )


def other_class(content: dict[str, Any]) -> None:
    content["model"].state["_modules"]["model"].state["_modules"]["2"].kind = Name(
        "models.common", "C3TR"
    )


def few_names(content: dict[str, Any]) -> None:
    content["model"].state["names"] = ["bright"]


def no_graph(content: dict[str, Any]) -> None:
    del content["model"].state["yaml"]


def whole_weights(content: dict[str, Any]) -> None:
    row(content, 0)["_modules"]["conv"].state["_parameters"]["weight"] = torch.zeros(
        8, 3, 6, 6, dtype=torch.int64
    )


def other_head(content: dict[str, Any]) -> None:
    content["model"].state["_modules"]["model"].state["_modules"]["6"].kind = Name(
        "models.yolo", "Segment"
    )


def no_residual(content: dict[str, Any]) -> None:
    row(content, 2)["_modules"]["m"].state["_modules"]["0"].state["add"] = False


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            change_shape,
            r"row 1: Conv: conv.weight \[16, 8, 1, 1\]: but the graph makes it \[16, 8, 3, 3\]",
        ),
        (add_weight, r"row 2: C3: gamma \[3\]: has no place"),
        (lose_weight, r"row 0: Conv: bn.running_var \[8\]: is not in the file"),
        (other_epsilon, r"row 0: Conv.bn: eps is 1e-05"),
        (other_stride, r"row 6: strides \[4.0, 16.0\]"),
        (other_dilation, r"row 3: Conv.conv: dilation is \(2, 2\)"),
        (other_module, r"row 4: Mamba \(models.mamba.Mamba\): is not a module of this project"),
        (other_class, r"row 2: C3: but the model has C3TR"),
        (few_names, r"names: .*2 classes"),
        (no_graph, r"no `yaml`.*--cfg"),
        (whole_weights, r"row 0: Conv: conv.weight: is torch.int64"),
        (other_head, r"row 6: Detect: but the model has Segment"),
        (no_residual, r"row 2: C3.m.0: add is False"),
    ],
)
def test_anything_that_does_not_fit_is_named_in_one_line(
    spoil: Any, message: str, tmp_path: Path
) -> None:
    content = content_of(fresh(GRAPH))
    content["model"].state["yaml"]["backbone"] = [list(one) for one in GRAPH["backbone"]]
    spoil(content)
    with pytest.raises(UserError, match=message) as caught:
        read_weights(put(tmp_path / "fork.pt", content))
    assert str(tmp_path / "fork.pt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_that_refers_to_itself_ends(tmp_path: Path) -> None:
    kind = b"cmodels.yolo\nModel\n)\x81q\x01}(X\x08\0\0\0_modules}(X\x01\0\0\0ah\x01uub"
    with pytest.raises(UserError, match="modules within modules"):
        read_weights(
            put(tmp_path / "loop.pt", wrapped(b"\x80\x02}X\x05\0\0\0model" + kind + b"s."))
        )


def test_modules_shared_over_and_over_end(tmp_path: Path) -> None:
    """Twenty-four levels of two references each would be 16 million modules."""
    code = b"\x80\x02cmodels.common\nConv\n)\x81}bq\x00"
    for number in range(1, 25):
        last = bytes([number - 1])
        inner = b"}(X\x01\0\0\0ah" + last + b"X\x01\0\0\0bh" + last + b"u"
        code += (
            b"0cmodels.common\nConv\n)\x81}(X\x08\0\0\0_modules" + inner + b"ubq" + bytes([number])
        )
    with pytest.raises(UserError, match="modules and tensors"):
        read_weights(put(tmp_path / "wide.pt", wrapped(code + b".")))


def test_a_state_dict_needs_its_graph(tmp_path: Path) -> None:
    model = fresh(GRAPH)
    upstream = {
        key.replace("model.4.", "model.5.")
        .replace("model.5.m", "model.6.m")
        .replace("model.5.anchors", "model.6.anchors"): value
        for key, value in model.state_dict().items()
    }
    torch.save(upstream, tmp_path / "state.pt")
    bare = read_weights(tmp_path / "state.pt")
    assert bare.graph == {}
    with pytest.raises(UserError, match="--cfg"):
        from_checkpoint(bare)
    with pytest.raises(UserError, match=r"state\.pt: holds tensors without a graph"):
        load_model(tmp_path / "state.pt")
    again = from_checkpoint(with_graph(bare, GRAPH, "state.pt"))
    assert all(
        torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items()
    )
    torch.save(model.state_dict(), tmp_path / "ours.pt")
    assert list(with_graph(read_weights(tmp_path / "ours.pt"), GRAPH, "ours.pt").state) == list(
        model.state_dict()
    )
    with pytest.raises(UserError, match=r"state\.pt: .* not a state dict of"):
        with_graph(bare, FREE_GRAPH, "state.pt")
    for wrapper in ("module.", "model.", "module.model."):
        torch.save(
            {f"{wrapper}{key}": value for key, value in upstream.items()}, tmp_path / "wrapped.pt"
        )
        assert list(read_weights(tmp_path / "wrapped.pt").state) == list(upstream)


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs GOLDEN_CHECKPOINTS")
@pytest.mark.parametrize("name", ["yolov5n_bccd", "yolov5n_SimAM_bccd", "yolov8n_bccd"])
def test_the_given_examples_load_whole(name: str) -> None:
    checkpoint = adopt(read_saved(EXAMPLES / f"{name}.pt"))
    assert len(checkpoint.state) == (355 if name.startswith("yolov8") else 349)
    assert checkpoint.config["imgsz"] == 320
    model = from_checkpoint(checkpoint)
    assert model.names == {0: "RBC", 1: "WBC", 2: "Platelets"}
    assert model.warnings == []


def mutations(seed: int, count: int) -> list[bytes]:
    """Damaged copies of a checkpoint.

    Most have right checksums, so that the damage gets past the archive.
    """
    draw = random.Random(seed)
    code, storages = program(content_of(fresh(GRAPH if seed % 2 else FREE_GRAPH)))
    found = []
    for number in range(count):
        damaged, held = bytearray(code), list(storages)
        kind = number % 6
        if kind < 3:
            for _ in range(draw.choice((1, 1, 2, 5))):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        elif kind == 3:
            del damaged[draw.randrange(len(damaged)) :]
        elif kind == 4:
            one, other = draw.sample(range(len(held)), 2)
            held[one], held[other] = held[other], held[one]
        whole = wrapped(bytes(damaged), held)
        if kind == 5:
            flipped = bytearray(whole)
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
            whole = bytes(
                flipped if draw.random() < 0.5 else flipped[: draw.randrange(len(flipped))]
            )
        found.append(whole)
    return found


def survive(path: Path, files: list[bytes]) -> int:
    """How many files are refused, each in one line; no other error than UserError may occur."""
    refused: list[str] = []
    for content in files:
        try:
            from_checkpoint(read_weights(put(path, content)))
        except UserError as error:
            refused.append(str(error))
    assert not [message for message in refused if "\n" in message]
    return len(refused)


def test_damaged_checkpoints_are_refused_or_load(tmp_path: Path) -> None:
    assert (
        survive(tmp_path / "a.pt", mutations(0, 30)) + survive(tmp_path / "b.pt", mutations(1, 30))
        > 20
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_thousand_damaged_checkpoints(seed: int, tmp_path: Path) -> None:
    assert survive(tmp_path / "a.pt", mutations(seed, 100)) > 30


def test_archives_that_are_not_a_model_are_one_line(tmp_path: Path) -> None:
    for number, content in enumerate(
        ({"epoch": 3}, [1, 2], 7, {"model": None}, {"model": {"a": 1}})
    ):
        with pytest.raises(UserError, match="holds"):
            read_weights(put(tmp_path / f"{number}.pt", content))
    with pytest.raises(UserError, match=r"data\.pkl"):
        read_weights(put(tmp_path / "empty.pt", archive([("best/other", b"")])))


def test_a_state_dict_with_one_to_one_branches_loads_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fresh(FREE_GRAPH)
    state = model.state_dict()
    head = {key: value for key, value in state.items() if ".cv2." in key or ".cv3." in key}
    extra = {key.replace(".cv", ".one2one_cv"): value + 0 for key, value in head.items()}
    torch.save({**state, **extra}, tmp_path / "state.pt")
    checkpoint = with_graph(read_weights(tmp_path / "state.pt"), FREE_GRAPH, "state.pt")
    assert list(from_checkpoint(checkpoint).state_dict()) == list(state)
    assert "the state dict: its one-to-one branches are left out" in capsys.readouterr().out
