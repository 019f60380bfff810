"""Checkpoints of other programs: tensors and values are read, nothing is run, all is limited."""

from __future__ import annotations

import os
import resource
import struct
import tarfile
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.weights.load import read_weights
from tests.pickles import (
    Name,
    Raw,
    Thing,
    Writer,
    archive,
    call,
    name,
    program,
    saved,
    text,
    wrapped,
)
from utils.errors import UserError
from utils.pickles.objects import PickledArray, PickledObject
from utils.pickles.reader import read_saved

CANARY = "canary"  # file that a payload would leave in the working folder
COMMAND = f"touch {CANARY}"
CODE = f"open('{CANARY}', 'w')"
Case = tuple[str, str, bytes]  # construction, label, file
HEAD, STOP = b"\x80\x02", b"."
CLASS = Name("models.common", "Conv")


def run(code: bytes, **entries: bytes) -> bytes:
    return wrapped(HEAD + code + STOP, extra=entries)


def value(thing: Any) -> bytes:
    return Writer().value(thing)


def reduces() -> Iterator[Case]:
    """Dangerous functions, called with arguments."""
    targets = [
        ("os", "system", COMMAND),
        ("posix", "system", COMMAND),
        ("nt", "system", COMMAND),
        ("subprocess", "Popen", COMMAND),
        ("subprocess", "check_output", COMMAND),
        ("builtins", "exec", CODE),
        ("builtins", "eval", CODE),
        ("__builtin__", "eval", CODE),
        ("builtins", "__import__", "os"),
        ("builtins", "compile", CODE),
        ("importlib", "import_module", "os"),
        ("runpy", "run_path", "x.py"),
        ("pickle", "loads", "x"),
        ("torch", "load", "x.pt"),
        ("torch.hub", "load", "a/b"),
        ("torch.jit", "load", "x"),
        ("numpy", "load", "x.npy"),
        ("webbrowser", "open", "http://localhost"),
        ("shutil", "rmtree", "."),
        ("pathlib", "Path.write_text", "x"),
        ("pty", "spawn", "sh"),
        ("code", "interact", ""),
        ("models.common", "Conv", COMMAND),
        ("torch.nn.functional", "relu", 1),
        ("utils.downloads", "run", COMMAND),
    ]
    for module, attribute, argument in targets:
        yield "reduce", f"{module}.{attribute}", run(value(call(module, attribute, argument)))
    inside = {"model": Thing(CLASS, {"_modules": {}, "hook": call("os", "system", COMMAND)})}
    yield "reduce", "within a module", saved(inside)
    yield "reduce", "of a number", run(b"K\x05)R")


def instructions() -> Iterator[Case]:
    yield "inst", "os.system", run(b"(" + text(COMMAND) + b"ios\nsystem\n")
    yield "inst", "a class of a family", run(b"(" + text(COMMAND) + b"imodels.common\nConv\n")
    yield "obj", "os.system", run(b"(" + name("os", "system") + text(COMMAND) + b"o")
    yield "obj", "a class of a family", run(b"(" + name("models.common", "Conv") + b"o")
    yield "newobj", "with arguments", run(value(CLASS) + b"(" + text(COMMAND) + b"t\x81")
    yield (
        "newobj",
        "subprocess.Popen",
        run(name("subprocess", "Popen") + b"(" + text(COMMAND) + b"t\x81"),
    )
    yield "newobj", "of text", run(text("os") + b")\x81")
    yield "newobj", "of a builder", run(name("collections", "OrderedDict") + b")\x81")
    yield "newobj_ex", "a class of a family", run(value(CLASS) + b")}\x92")
    yield (
        "stack_global",
        "os.system",
        run(text("os") + text("system") + b"\x93(" + text(COMMAND) + b"tR"),
    )
    yield "stack_global", "of numbers", run(b"K\x01K\x02\x93")
    yield (
        "stack_global",
        "by way of the memo",
        run(text("system") + b"q\x01" + b"0" + text("os") + b"h\x01\x93"),
    )
    for number, code in enumerate((b"\x82\x01", b"\x83\x01\x01", b"\x84\x01\x01\x01\x01")):
        yield "extension registry", f"EXT{2**number}", run(code)
    yield "persistent id", "as text", run(b"Pos.system\n")
    yield "persistent id", "no tuple", run(text("os.system") + b"Q")
    storage = ("storage", Name("os", "system"), "0", "cpu", 1)
    yield "persistent id", "os.system as storage", run(value(storage) + b"Q")
    for label, key, count in (
        ("a path", "../../etc/passwd", 1),
        ("negative", "0", -1),
        ("an entry", "../version", 2),
    ):
        yield (
            "persistent id",
            label,
            run(value(("storage", Name("torch", "FloatStorage"), key, "cpu", count)) + b"Q"),
        )
    yield "buffers", "out of band", run(b"\x97")
    yield "buffers", "bytearray", run(b"\x96" + struct.pack("<Q", 4) + b"abcd")


def states() -> Iterator[Case]:
    yield "build", "of a class", run(value(CLASS) + b"}" + text("__call__") + value(1) + b"sb")
    yield "build", "twice", run(value(Thing(CLASS, {"a": 1})) + b"}b")
    yield "build", "with slots", run(value(CLASS) + b")\x81}}\x86b")
    yield "build", "of a list", run(b"]}" + text("append") + b"K\x01sb")
    yield (
        "build",
        "of a dictionary",
        run(value(call("collections", "OrderedDict")) + value({"__class__": 1}) + b"b"),
    )
    code, storages = program([torch.zeros(2)])
    tensor = code[2:-1].replace(b"tRe", b"tR}" + text("__class__") + b"Nsbe")
    yield "build", "of a tensor", wrapped(HEAD + tensor + STOP, storages)
    yield "fill", "append to a record", run(value(CLASS) + b")\x81K\x01a")
    yield "fill", "items of a record", run(value(CLASS) + b")\x81K\x01K\x02s")
    yield "memo", "never written", run(b"h\x07")
    yield (
        "memo",
        "written twice",
        run(text("models") + b"q\x01" + b"0" + text("os") + b"q\x010h\x01"),
    )
    yield "memo", "of nothing", run(b"q\x01")
    yield (
        "memo",
        "a name exchanged",
        run(name("models", "a") + b"q\x000" + name("os", "system") + b"q\x000h\x00)R"),
    )
    yield "stack", "below its end", run(b"0")
    yield "stack", "no mark", run(b"tR")
    yield "stack", "two values left", run(b"NN")
    yield "stack", "an open mark", run(b"(N")
    yield (
        "stack",
        "continues after its end",
        wrapped(HEAD + b"N." + value(call("os", "system", COMMAND)) + b"."),
    )
    for chain in ("Conv.forward.__globals__", "__init__.__globals__", "Conv.__subclasses__"):
        yield "getattr chain", chain, run(text("models.common") + text(chain) + b"\x93")
    yield "getattr chain", "in the module", run(name("models..common", "os"))
    yield "getattr chain", "getattr", run(value(call("builtins", "getattr", 1, "real")))
    yield "getattr chain", "attrgetter", run(value(call("operator", "attrgetter", "system")))
    yield "getattr chain", "partial", run(value(call("functools", "partial", CLASS, 1)))
    yield (
        "getattr chain",
        "methodcaller",
        run(value(call("operator", "methodcaller", "system", COMMAND))),
    )


def sizes() -> Iterator[Case]:
    for label, code in (
        ("text", b"\x8d" + struct.pack("<Q", 2**62)),
        ("bytes", b"\x8e" + struct.pack("<Q", 2**40)),
        ("short text", b"X" + struct.pack("<I", 2**32 - 1)),
        ("frame", b"\x95" + b"\xff" * 8),
        ("number", b"\x8b" + struct.pack("<i", 2**31 - 1)),
        ("negative", b"\x8b\xff\xff\xff\xff"),
        ("digits", b"L" + b"9" * 100_000 + b"L\n"),
        ("real number", b"\x8b\0\x10\0\0" + b"\x01" * 4096),
    ):
        yield "huge size", label, run(code)
    yield "huge size", "instructions", run(b"N0" * 260_000 + b"N")
    yield "huge size", "bytes of instructions", run(b"B" + struct.pack("<I", 2**25) + bytes(2**25))
    code, storages = program(torch.zeros(4))
    shape, stride = b"(J\4\0\0\0t", b"(J\1\0\0\0t"
    for label, old, new in (
        ("values", b"J\4\0\0\0tQ", b"J\xff\xff\xff\x7ftQ"),
        ("offset", b"QJ\0\0\0\0", b"QJ\1\0\0\0"),
        ("negative offset", b"QJ\0\0\0\0", b"QJ\xff\xff\xff\xff"),
        ("shape", shape + stride, b"(J\xff\xff\0\0t" + stride),
        ("expanded beyond", shape + stride, b"(J\xff\xff\xff\x7ft(J\1\0\0\0t"),
        ("negative stride", shape + stride, shape + b"(J\xff\xff\xff\xfft"),
    ):
        assert old in code
        yield "tensor", label, wrapped(code.replace(old, new), storages)
    yield "tensor", "without its storage", wrapped(code)
    yield "deep", "lists", run(b"]" * 5000 + b"a" * 4999)
    yield "deep", "tuples", run(b")" + b"\x85" * 5000)
    yield "deep", "marks", run(b"(" * 5000 + b"l" * 5000)
    yield "deep", "states", run((value(CLASS) + b")\x81}" + text("a")) * 1000 + b"N" + b"sb" * 1000)
    yield "key", "a list", run(b"}]K\x01s")
    doubled = b"".join(
        b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) + b"0" for n in range(60)
    )
    yield "key", "two to the sixtieth", run(b")q\x000" + doubled + b"}h\x3cNs")
    keys = b"](" + b"".join(b"J" + struct.pack("<i", n) for n in range(20_000)) + b"e" + b"q\x00"
    yield "copies", "the same set", run(keys + b"0c__builtin__\nset\nh\x00\x85R" * 300)


def arrays() -> Iterator[Case]:
    dtype = name("numpy", "dtype")
    start = name("numpy.core.multiarray", "_reconstruct")
    array = start + value((Name("numpy", "ndarray"), (0,))) + b""
    empty = (
        start
        + b"("
        + name("numpy", "ndarray")
        + b"(K\0tc_codecs\nencode\n"
        + value(("b", "latin1"))
        + b"RtR"
    )
    for code in ("O8", "V8", "S4", "M8", "f16"):
        yield "numpy", f"dtype {code}", run(dtype + value((code, False, True)) + b"R")
    real = dtype + value(("f8", False, True)) + b"R"
    for label, shape, content in (
        ("too few bytes", (4,), "abc"),
        ("huge", (2**30, 2**10), "abcdefgh"),
        ("negative", (-1,), "abcdefgh"),
    ):
        state = (
            b"(K\x01"
            + value(shape)
            + real
            + b"\x89c_codecs\nencode\n"
            + value((content, "latin1"))
            + b"Rtb"
        )
        yield "numpy", label, run(empty + state)
    yield "numpy", "objects", run(empty + b"(K\x01" + value((1,)) + real + b"\x89](Netb")
    yield "numpy", "another class", run(array + b"R")
    short = b"c_codecs\nencode\n" + value(("abc", "latin1")) + b"R"
    yield (
        "numpy",
        "a short scalar",
        run(name("numpy.core.multiarray", "scalar") + b"(" + real + short + b"tR"),
    )
    yield "numpy", "another codec", run(b"c_codecs\nencode\n" + value(("abc", "rot13")) + b"R")


def archives() -> Iterator[Case]:
    good, storages = program({"model": {"a": torch.zeros(3)}})
    bad = HEAD + value(call("os", "system", COMMAND)) + STOP
    entries = [("best/data.pkl", good), ("best/data/0", storages[0])]
    for entry in (
        "../evil",
        "/etc/evil",
        "best/../evil",
        "best\\data\\1",
        "other/data.pkl",
        "best/data/x",
        "best/evil.py",
        "best/data/0/../../evil",
        "C:/evil",
        "best/.data/../evil",
    ):
        yield "path in the zip", entry, archive([*entries, (entry, b"x")])
    yield "path in the zip", "the folder is ..", archive([("../data.pkl", good)])
    yield "path in the zip", "no folder", archive([("data.pkl", good)])
    yield "duplicate", "data.pkl", archive([entries[0], ("best/data.pkl", bad), entries[1]])
    yield "duplicate", "a storage", archive([*entries, entries[1]])
    yield "nested archive", "a checkpoint as data.pkl", archive([("best/data.pkl", wrapped(bad))])
    yield (
        "nested archive",
        "a checkpoint as an entry",
        archive([*entries, ("best/inner.pt", wrapped(bad))]),
    )
    yield (
        "nested archive",
        "a pickle as text",
        run(value(call("pickle", "loads", bad.decode("latin1")))),
    )
    yield (
        "nested archive",
        "TorchScript",
        archive([*entries, ("best/code/__torch__.py", b"x"), ("best/constants.pkl", b"x")]),
    )
    yield "zip", "compressed", archive(entries, zipfile.ZIP_DEFLATED)
    yield (
        "zip",
        "a bomb",
        archive([("best/data.pkl", good), ("best/data/0", bytes(2**25))], zipfile.ZIP_DEFLATED),
    )
    yield "zip", "behind another file", b"#!/bin/sh\n" + archive(entries)
    yield "zip", "byte order", archive([*entries, ("best/byteorder", b"middle")])
    yield "zip", "a long word", archive([*entries, ("best/byteorder", b"little" * 100_000)])
    whole = archive(entries)
    size = struct.pack("<I", len(good))
    yield "zip", "declares more than it has", whole.replace(size * 2, struct.pack("<I", 2**31) * 2)
    yield "zip", "empty", archive([])
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.addfile(tarfile.TarInfo("pickle"), BytesIO())
    yield "legacy", "tar", tar.getvalue()
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    yield "legacy", "before torch 1.6", magic + b"\x80\x02M\xe9\x03." + bad
    yield "legacy", "a bare pickle", bad
    yield (
        "legacy",
        "a bare pickle of protocol 0",
        b"cos\nsystem\n(S'" + COMMAND.encode() + b"'\ntR.",
    )


CASES = [*reduces(), *instructions(), *states(), *sizes(), *arrays(), *archives()]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert len({construction for construction, _, _ in CASES}) >= 12
    assert len({(construction, label) for construction, label, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("construction", "label", "content"), CASES, ids=[f"{one[0]}: {one[1]}" for one in CASES]
)
def test_malicious_files_are_refused_and_do_nothing(
    construction: str, label: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "best.pt"
    path.write_bytes(content)
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UserError, match=str(path)):
        read_weights(path)
    with pytest.raises(UserError) as caught:  # the reader itself refuses it, not a later step
        read_saved(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]
    assert path.read_bytes() == content
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # KiB
    if (
        construction == "reduce"
        and "." in label
        and not label.startswith(("models", "torch.nn", "utils"))
    ):
        assert label in str(caught.value)


def read(path: Path, thing: Any) -> Any:
    path.write_bytes(saved(thing))
    return read_saved(path).content


def test_plain_values_and_tensors_are_read_unchanged(tmp_path: Path) -> None:
    things = {
        "whole": [0, 1, -5, 2**31 - 1],
        "real": (1.5, -0.0),
        "text": "Blutkörper\n",
        "nothing": None,
        "yes": True,
        "half": torch.tensor([[1.5, -2.0]]).half(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    found = read(tmp_path / "a.pt", things)
    for key, expected in things.items():
        same = (
            torch.equal(found[key], expected)
            if isinstance(expected, torch.Tensor)
            else found[key] == expected
        )
        assert same, key


def test_what_torch_writes_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    base = torch.arange(24.0).view(4, 6)
    things = {
        "view": base[1:3, ::2],
        "turned": base.t(),
        "flag": torch.tensor([True, False]),
        "size": base.shape,
        "parameter": torch.nn.Parameter(base.double()),
        "brain": base.bfloat16(),
        "device": torch.device("cuda", 1),
    }
    torch.save(things, tmp_path / "b.pt")
    found = read_saved(tmp_path / "b.pt").content
    for key in ("view", "turned", "flag", "parameter", "brain"):
        assert torch.equal(found[key], things[key]), key
        assert found[key].dtype == things[key].dtype
    assert found["size"] == (4, 6)
    assert found["device"] == "cuda:1"


def test_numbers_of_numpy_paths_and_options(tmp_path: Path) -> None:
    import argparse

    things = {
        "best": np.float64(0.25),
        "counts": np.arange(6, dtype=np.int32).reshape(2, 3),
        "folder": Path("runs/exp"),
        "opt": argparse.Namespace(imgsz=320),
        "kinds": {"a", "b"},
        "turned": np.asfortranarray(np.eye(2)[:, :1]),
    }
    for protocol in (2, 4):
        torch.save(things, tmp_path / "c.pt", pickle_protocol=protocol)
        found = read_saved(tmp_path / "c.pt").content
        assert found["best"] == 0.25
        assert isinstance(found["counts"], PickledArray)
        assert found["counts"].values.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert found["turned"].values.tolist() == [[1], [0]]
        assert found["folder"] == "runs/exp"
        assert found["kinds"] == {"a", "b"}
        assert isinstance(found["opt"], PickledObject)
        assert found["opt"].state == {"imgsz": 320}


def test_classes_of_the_families_become_records(tmp_path: Path) -> None:
    for module in (
        "models.SimAM",
        "ultralytics.nn.modules.block",
        "torch.nn.modules.conv",
        "utils.loss",
    ):
        found = read(tmp_path / "d.pt", Thing(Name(module, "Anything"), {"a": 1}))
        assert found.kind == f"{module}.Anything"
        assert found.get("a") == 1
        assert found.get("b", 5) == 5


def test_the_byte_order_is_respected(tmp_path: Path) -> None:
    code, storages = program(torch.tensor([1.5, -3.0]))
    swapped = np.frombuffer(storages[0], "<f4").astype(">f4").tobytes()
    path = tmp_path / "big.pt"
    path.write_bytes(
        archive([("best/data.pkl", code), ("best/byteorder", b"big"), ("best/data/0", swapped)])
    )
    assert torch.equal(read_saved(path).content, torch.tensor([1.5, -3.0]))


def test_a_missing_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_saved(tmp_path / "none.pt")


def test_a_refusal_names_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(run(value(call("os", "system", COMMAND))))
    with pytest.raises(UserError, match=r"evil.pt: names os.system, .*nothing of it was run"):
        read_saved(path)
    path.write_bytes(run(value(Raw(name("o\x1b[31ms", "system")))))
    with pytest.raises(UserError) as caught:
        read_saved(path)
    assert str(caught.value).isprintable()  # nor can a file write escape sequences to a terminal


def refusal(path: Path, content: bytes, seconds: float = 5) -> str:
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read_saved(path)
    assert time.process_time() - start < seconds
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_large_dictionary_as_the_state_of_many_records_is_refused_in_time(tmp_path: Path) -> None:
    """Each record would have it walked once more: 40,000 records times 100,000 keys."""
    keys = b"".join(b"\x8c\x06" + b"%06x" % number + b"N" for number in range(100_000))
    shared = b"}r\xff\xff\0\0(" + keys + b"u0"
    records = b"](" + b"cmodels.a\nB\n)\x81j\xff\xff\0\0b" * 40_000 + b"e"
    assert "looks at them again" in refusal(tmp_path / "quad.pt", run(shared + records))


def test_a_state_that_few_records_share_is_read(tmp_path: Path) -> None:
    shared = b"}q\x05" + text("a") + b"K\x01s0"
    path = tmp_path / "few.pt"
    path.write_bytes(run(shared + b"](" + b"cmodels.a\nB\n)\x81h\x05b" * 5 + b"e"))
    content: Any = read_saved(path).content
    assert [one.get("a") for one in content] == [1] * 5


def test_many_tuples_as_keys_are_refused_and_a_few_are_read(tmp_path: Path) -> None:
    def pairs(count: int) -> bytes:
        numbers = (b"J" + struct.pack("<i", number) for number in range(count))
        return run(b"}(" + b"".join(number * 2 + b"\x86N" for number in numbers) + b"u")

    refusal(tmp_path / "many.pt", pairs(50_000))
    path = tmp_path / "few.pt"
    path.write_bytes(pairs(100))
    assert len(read_saved(path).content) == 100  # type: ignore[arg-type]


def test_a_long_text_that_is_copied_often_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    long = text("a" * 10**6) + b"q\x050"
    joined = b"cpathlib\nPath\n(" + b"h\x05" * 90 + b"tR"
    assert "copies more than" in refusal(tmp_path / "path.pt", run(long + joined))
    method = b"cbuiltins\ngetattr\ncmodels.a\nB\n)\x81h\x05\x86R"
    assert "getattr" in refusal(tmp_path / "method.pt", run(long + method))


def test_a_list_of_entries_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    entries = [(f"best/data/{number}", b"") for number in range(70_000)]
    content = archive([("best/data.pkl", b"\x80\x02N."), *entries])
    assert "has a list of entries of" in refusal(tmp_path / "wide.pt", content)


def test_a_named_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    for path, words in ((pipe, "named pipe"), (tmp_path, "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(UserError, match=words):
            read_saved(path)


def test_a_file_that_is_cut_while_it_is_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"a": torch.ones(1 << 18)}, path)
    opened = zipfile.ZipFile.open

    def cut(archive: Any, *arguments: Any) -> Any:
        os.truncate(path, 1 << 19)
        return opened(archive, *arguments)

    monkeypatch.setattr(zipfile.ZipFile, "open", cut)
    with pytest.raises(UserError, match=r"cut.pt: is damaged"):
        read_saved(path)
