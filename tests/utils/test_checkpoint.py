"""Checkpoints: exact, atomic, safe to read, honest about damage."""

from __future__ import annotations

import os
import pickle
import random
import resource
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.pickles import Writer, call, text, wrapped
from tests.simulated_cuda import simulate, simulated_cuda
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.version import __version__


def example(value: float = 1.0, training: dict[str, object] | None = None) -> Checkpoint:
    state = {
        "model.0.conv.weight": torch.full((4, 3, 3, 3), value),
        "model.0.bn.running_var": torch.full((4,), 1e5),
    }
    return Checkpoint(
        {"nc": 1, "backbone": [[-1, 1, "Conv", [4]]]},
        {0: "cell"},
        state,
        epoch=3,
        training=training,
    )


def test_round_trip_is_exact_and_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    optimizer = {"state": {0: {"momentum_buffer": torch.arange(3.0)}}}
    written = example(training={"optimizer": optimizer, "lists": [1, None, "a"]})
    checkpoints.save(written, path)
    torch.load(path, weights_only=True)
    read = checkpoints.read(path)
    assert read.graph == written.graph
    assert read.names == {0: "cell"}
    assert read.epoch == 3
    assert all(torch.equal(read.state[key], value) for key, value in written.state.items())
    assert torch.equal(read.training["optimizer"]["state"][0]["momentum_buffer"], torch.arange(3.0))
    assert os.listdir(tmp_path) == ["last.pt"]


def test_the_version_that_wrote_a_file_is_in_it_and_older_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    checkpoints.save(replace(example(), version="0.1"), path)
    assert checkpoints.read(path).version == __version__
    content = torch.load(path, weights_only=True)
    del content["version"]
    torch.save(content, path)
    assert checkpoints.read(path).version == ""
    torch.save({**content, "version": 3}, path)
    with pytest.raises(UserError, match="its version is not as this project writes it"):
        checkpoints.read(path)


def test_a_kill_between_the_link_to_the_former_file_and_the_new_one_leaves_nothing(
    tmp_path: Path,
) -> None:
    """Both names then belong to one file, and a rename from one to the other does nothing."""
    path = tmp_path / "last.pt"
    checkpoints.save(example(), path)
    os.link(path, checkpoints.previous_of(path))
    checkpoints.save(example(), path, keep_previous=True)
    assert sorted(os.listdir(tmp_path)) == ["last.previous.pt", "last.pt"]


def test_lean_halves_kernels_keeps_vectors_and_what_does_not_fit() -> None:
    state = {
        "kernel": torch.full((2, 2), 0.1),
        "large": torch.full((2, 2), 1e6),
        "variance": torch.full((2,), 1e6),
    }
    lean = checkpoints.lean(state)
    assert lean["kernel"].dtype == torch.float16
    assert lean["large"].dtype == torch.float32
    assert lean["variance"].dtype == torch.float32


def test_lean_copies_a_model_from_a_gpu_at_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    model.to(memory_format=torch.channels_last)
    expected = checkpoints.lean(model.state_dict())
    with simulated_cuda() as counts:
        found = checkpoints.lean(simulate(model).state_dict())
        assert counts.waits.total() == 2  # float32 and int64
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
        assert torch.equal(found[key], value)
    checkpoints.check_shared(found)


def test_any_flipped_bit_or_cut_is_noticed_or_harmless(tmp_path: Path) -> None:
    """1,000 damaged copies: each is refused with a UserError, or reads back exactly as written."""
    path, copy = tmp_path / "good.pt", tmp_path / "bad.pt"
    checkpoints.save(example(), path)
    content, draw, refused = path.read_bytes(), random.Random(0), 0
    for trial in range(1000):
        damaged = bytearray(content)
        if trial % 4:
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        else:
            del damaged[draw.randrange(len(damaged)) :]
        copy.write_bytes(damaged)
        try:
            read = checkpoints.read(copy)
        except UserError:
            refused += 1
            continue
        assert read.graph == example().graph
        assert all(torch.equal(read.state[key], value) for key, value in example().state.items())
    assert refused > 500


def test_a_failing_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    checkpoints.save(example(1.0), path)

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="No space left"):
        checkpoints.save(example(2.0), path)
    assert checkpoints.read(path).state["model.0.conv.weight"][0, 0, 0, 0] == 1.0
    assert os.listdir(tmp_path) == ["last.pt"]


class Bomb:
    """A pickle that would touch a file when loaded."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.canary,)


@pytest.mark.parametrize("wrap", ["torch", "pickle"])
def test_code_in_a_file_is_refused_by_name_and_never_runs(tmp_path: Path, wrap: str) -> None:
    path, canary = tmp_path / "bomb.pt", tmp_path / "canary"
    if wrap == "torch":
        torch.save({"model": Bomb(str(canary))}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(str(canary))))
    with pytest.raises(UserError, match="mkdir" if wrap == "torch" else "is a bare pickle"):
        checkpoints.read(path)
    assert not canary.exists()


def test_what_unfolds_to_more_than_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is unfolded: entries compressed, or larger together than the file."""
    checkpoints.save(example(training={"zeros": torch.zeros(1 << 20)}), tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    assert os.path.getsize(tmp_path / "bomb.pt") < 1 << 15
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unfolded"))
    with pytest.raises(UserError, match=r"bomb.pt: has archive/data.pkl compressed"):
        checkpoints.read(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("names", None),
        ("names", {0: "a", 2: "b"}),
        ("names", {0: 1}),
        ("graph", [1]),
        ("graph", "x"),
        ("state", None),
        ("state", {"a": 1}),
        ("state", {1: torch.ones(1)}),
        ("hyp", [1]),
        ("config", "x"),
        ("training", 1),
        ("epoch", "1"),
    ],
)
def test_fields_of_another_kind_are_named(tmp_path: Path, field: str, value: Any) -> None:
    checkpoints.save(replace(example(), **{field: value}), tmp_path / "odd.pt")
    with pytest.raises(UserError, match=rf"odd.pt: its {field} is not as this project writes it"):
        checkpoints.read(tmp_path / "odd.pt")


def test_tensors_that_stand_for_more_than_the_file_holds_are_refused(tmp_path: Path) -> None:
    checkpoints.save(
        replace(example(), state={"a": torch.ones(1).expand(1 << 20)}), tmp_path / "wide.pt"
    )
    with pytest.raises(UserError, match=r"wide.pt: has a tensor that repeats its values"):
        checkpoints.read(tmp_path / "wide.pt")


def test_missing_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    torch.save({"model": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        checkpoints.read(tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.read(tmp_path / "none.pt")


def own_program(**fields: bytes) -> bytes:
    """A file in this project's format, opcode by opcode, with some fields replaced."""
    usual = dict.fromkeys(("graph", "names", "state", "config", "hyp", "scores"), b"}")
    usual |= {"data": text(""), "epoch": b"K\0", "training": b"N", **fields}
    pairs = text("format") + text(checkpoints.FORMAT)
    pairs += b"".join(text(name) + code for name, code in usual.items())
    return wrapped(b"\x80\x02}(" + pairs + b"u.", [bytes(16)])


def nested(levels: int) -> bytes:
    """A list that holds another one twice, which holds another one twice, and so on."""
    code = b"]q\x010"
    for level in range(1, levels + 1):
        code += b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
        code += b"0"
    return code + b"h" + bytes([levels + 1])


def rebuilt(function: str, *arguments: object) -> bytes:
    return Writer().value(call("torch._utils", function, *arguments))


HOSTILE = {
    "a byte array of 4 GB": b"cbuiltins\nbytearray\n(\x8a\x05\0\x28\x6b\xee\0tR",
    "a byte array of a petabyte": b"cbuiltins\nbytearray\n(\x8a\x08\0\x80\xc6\xa4\x7e\x8d\3\0tR",
    "shared lists": nested(30),
    "deep lists": b"]" * 10_000 + b"a" * 9999,
    "a long whole number": b"\x8b\x40\x42\x0f\0" + b"\x01" * 10**6,
    "a set": b"\x8f",
    "an object": b"cmodels.common\nConv\n)\x81",
    "a sparse tensor": rebuilt("_rebuild_sparse_tensor", 1),
    "a nested tensor": rebuilt("_rebuild_nested_tensor", 1),
    "a quantized tensor": rebuilt("_rebuild_qtensor", 1),
    "a meta tensor": rebuilt("_rebuild_meta_tensor_no_storage", 1),
    "a complex storage": b"(" + text("storage") + b"ctorch\nComplexFloatStorage\ntQ",
}


@pytest.mark.parametrize(
    ("label", "field"),
    [
        # Lists that grow take a second or more each before they are refused.
        pytest.param(label, field, marks=pytest.mark.slow)
        if label == "shared lists" and field != "training"
        else (label, field)
        for label in HOSTILE
        for field in ("config", "state", "training")
    ],
)
def test_a_hostile_value_in_an_own_checkpoint_is_refused_in_time_and_memory(
    tmp_path: Path, label: str, field: str
) -> None:
    path = tmp_path / "own.pt"
    path.write_bytes(own_program(**{field: b"}(" + text("a") + HOSTILE[label] + b"u"}))
    start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"own\.pt: ") as caught:
        checkpoints.read(path)
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # KiB
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.0.conv.weight", float("nan"), "'model.0.conv.weight' has values that are not"),
        ("model.0.conv.weight", float("inf"), "'model.0.conv.weight' has values that are not"),
        ("model.0.bn.running_var", -1.0, "'model.0.bn.running_var' has variances below 0"),
        ("model.0.bn.running_var", float("nan"), "has values that are not finite"),
    ],
)
def test_weights_that_are_not_finite_and_negative_variances_are_refused(
    tmp_path: Path, key: str, value: float, words: str
) -> None:
    state = {**example().state}
    state[key] = state[key].clone()
    state[key].view(-1)[1] = value
    checkpoints.save(replace(example(), state=state), tmp_path / "bad.pt")
    with pytest.raises(UserError, match=words):
        checkpoints.read(tmp_path / "bad.pt")


def test_large_weights_in_half_precision_whose_sum_overflows_are_read(tmp_path: Path) -> None:
    state = {"model.0.conv.weight": torch.full((100, 100), 60000.0).half()}
    checkpoints.save(replace(example(), state=state), tmp_path / "large.pt")
    assert checkpoints.read(tmp_path / "large.pt").state["model.0.conv.weight"].min() == 60000


def test_values_of_every_kind_are_read_bit_for_bit(tmp_path: Path) -> None:
    """As torch's own reader gives them: types, shapes, strides and bits."""
    base = torch.randn(4, 6, 3, 3)
    training: dict[str, object] = {
        "turned": base.to(memory_format=torch.channels_last),
        "part": base[1:3, ::2],
        "half": base.half(),
        "brain": base.bfloat16(),
        "double": base.double(),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "flags": base > 0,
        "bytes": torch.get_rng_state(),
        "plain": [1, -(2**40), 0.1, None, True, "Blutk\u00f6rper", (0.9, 0.999), {3: "x"}],
    }
    path = tmp_path / "all.pt"
    checkpoints.save(example(training=training), path)
    expected = torch.load(path, weights_only=True)["training"]
    found: Any = checkpoints.read(path).training
    assert found["plain"] == expected["plain"]
    for name in training.keys() - {"plain"}:
        assert found[name].dtype == expected[name].dtype
        assert found[name].stride() == expected[name].stride()
        assert torch.equal(found[name], expected[name])
