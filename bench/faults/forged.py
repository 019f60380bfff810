"""Malicious checkpoints, put together opcode by opcode. Nothing here is pickled or unpickled.

Each payload is the code of one value: a call of a dangerous function, a value that takes any amount
of memory or time, or a tensor that lies. It is put into several places of both formats. Archives
and whole checkpoints that lie are in bench/faults/forged_files.py.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence

from utils.checkpoint import FORMAT

Payload = tuple[str, str, bytes]  # construction, label, code of one value


def text(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(content)) + content


def whole(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def mapping(pairs: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + code for key, code in pairs.items()) + b"u"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *codes: bytes) -> bytes:
    return name(module, attribute) + b"(" + b"".join(codes) + b"tR"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    codes = text("storage") + name("torch", kind) + text(key) + text("cpu") + whole(count)
    return b"(" + codes + b"tQ"


def tensor(count: int, shape: Sequence[int], stride: Sequence[int], offset: int = 0) -> bytes:
    sizes = (b"(" + b"".join(map(whole, sides)) + b"t" for sides in (shape, stride))
    hooks = call("collections", "OrderedDict")
    parts = (storage("0", count), whole(offset), *sizes, b"\x89", hooks)
    return call("torch._utils", "_rebuild_tensor_v2", *parts)


def archive(entries: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for entry, content in entries:
            file.writestr(entry, content)
    return buffer.getvalue()


def saved(code: bytes, *storages: bytes) -> bytes:
    """A file of torch.save with this program."""
    entries = [("archive/data.pkl", b"\x80\x02" + code + b".")]
    entries += [(f"archive/data/{number}", content) for number, content in enumerate(storages)]
    return archive([*entries, ("archive/byteorder", b"little"), ("archive/version", b"3\n")])


def own(**fields: bytes) -> bytes:
    """The program of a checkpoint of this project, with some fields replaced."""
    usual = {"graph": b"}", "names": b"}", "state": b"}", "config": b"}", "hyp": b"}"}
    usual |= {"data": text(""), "epoch": whole(0), "scores": b"}", "training": b"N"}
    return mapping({"format": text(FORMAT), **usual, **fields})


def foreign(attributes: Mapping[str, bytes]) -> bytes:
    """The program of a checkpoint of another program whose model has these attributes."""
    record = name("models.yolo", "DetectionModel") + b")\x81" + mapping(attributes) + b"b"
    return mapping({"epoch": whole(1), "model": record})


def placed(code: bytes) -> Iterator[tuple[str, bytes]]:
    """A value in places of both formats: where it is, and the program."""
    for field in ("graph", "names", "state", "config", "training", "scores"):
        yield f"own {field}", own(**{field: code})
    inside = mapping({"model": b"}", "optimizer": code, "progress": code})
    yield "own optimizer", own(training=inside)
    yield "own graph row", own(graph=mapping({"nc": whole(1), "backbone": b"](" + code + b"e"}))
    yield "foreign top", code
    yield "foreign attribute", foreign({"yaml": code})
    yield "foreign modules", foreign({"_modules": mapping({"model": code})})
    yield "foreign buffer", foreign({"_buffers": mapping({"a": code}), "_modules": b"}"})


def payloads(canary: str) -> Iterator[Payload]:
    """Values that no honest file holds; a command of them would create or remove `canary`."""
    yield from _calls(canary)
    yield from _instructions(canary)
    yield from _large()
    yield from _shared()
    yield from _tensors()


def _calls(canary: str) -> Iterator[Payload]:
    touch, script = text(f"touch {canary}"), text(f"open({canary!r}, 'w')")
    for module, attribute, argument in (
        ("os", "system", touch),
        ("posix", "system", touch),
        ("subprocess", "Popen", touch),
        ("subprocess", "getoutput", touch),
        ("builtins", "eval", script),
        ("builtins", "exec", script),
        ("__builtin__", "execfile", text(canary)),
        ("os", "remove", text(canary)),
        ("shutil", "rmtree", text(canary)),
        ("os", "mkdir", text(canary)),
        ("runpy", "run_path", text(canary)),
        ("torch", "load", text(canary)),
        ("torch.hub", "load", text(canary)),
        ("pickle", "loads", text("cos\nsystem\n")),
        ("models.common", "attempt_load", text(canary)),
    ):
        yield f"calls {module}", attribute, call(module, attribute, argument)
    for attribute, codes in {
        "bytearray": (whole(4 * 10**9),),
        "bytes": (whole(10**15),),
        "range": (whole(10**12),),
        "getattr": (text("a"), text("__class__")),
    }.items():
        yield "calls builtins with numbers", attribute, call("builtins", attribute, *codes)
    yield "calls operator", "mul", call("operator", "mul", text("a" * 1000), whole(10**8))
    yield "calls itertools", "repeat", call("itertools", "repeat", whole(1))


def _instructions(canary: str) -> Iterator[Payload]:
    touch, kind = text(f"touch {canary}"), name("models.common", "Conv")
    yield "inst", "system", b"(" + touch + b"ios\nsystem\n"
    yield "obj", "system", b"(" + name("os", "system") + touch + b"o"
    yield "newobj", "Popen", name("subprocess", "Popen") + b"(" + touch + b"t\x81"
    yield "newobj_ex", "keywords", kind + b")}\x92"
    yield "stack_global", "system", text("os") + text("system") + b"\x93(" + touch + b"tR"
    yield "extension", "code 1", b"\x82\x01"
    yield "buffers", "out of band", b"\x97"
    yield "persistent id", "text", text("x") + b"Q"
    yield "persistent id", "another function", b"(" + text("storage") + name("os", "x") + b"tQ"
    yield "build", "of a list", b"]}" + text("append") + b"K\x01sb"
    yield "build", "twice", kind + b")\x81}b}b"
    yield "memo", "an entry that is not there", b"h\x7f"
    yield "memo", "written twice", b"]q\x01q\x010N"
    yield "stack", "empty", b"0000N"
    yield "stack", "an open mark", b"(((("
    yield "legacy", "persistent id of protocol 0", b"Pos.system\n"
    yield "partial", "of a call", call("functools", "partial", name("os", "system")) + b"}b"


def _large() -> Iterator[Payload]:
    yield "long number", "a megabyte", b"\x8b" + struct.pack("<i", 10**6) + b"\x01" * 10**6
    yield "long number", "digits", b"L" + b"9" * 100_000 + b"L\n"
    yield "long text", "ten megabytes", text("a" * 10**7)
    yield "long text", "declared only", b"\x8d" + struct.pack("<Q", 2**62)
    yield "many", "instructions", b"N0" * 300_000 + b"N"
    yield "many", "entries", b"}(" + b"".join(_key(n) + b"N" for n in range(200_000)) + b"u"
    yield "many", "whole numbers as keys", b"}(" + b"".join(map(_number, range(300_000))) + b"u"
    yield "many", "sets", b"](" + b"\x8f" * 450_000 + b"e"
    yield "many", "marks", b"(" * 100_000 + b"l" * 100_000
    yield "deep", "lists", b"]" * 50_000 + b"a" * 49_999
    yield "deep", "tuples", b")" + b"\x85" * 50_000
    yield "deep", "just allowed", b"]" * 190 + b"a" * 189
    collide = b"".join(_number(n << 14)[:5] + _number(n)[:5] + b"\x86N" for n in range(100_000))
    yield "keys", "tuples", b"}(" + collide + b"u"
    yield "keys", "a list", b"}]K\x01s"
    yield "numbers", "not finite", b"](" + b"".join(map(_real, ("inf", "-inf", "nan"))) + b"e"


def _key(number: int) -> bytes:
    return b"\x8c\x06" + b"%06x" % number


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) + b"N"


def _real(word: str) -> bytes:
    return b"G" + struct.pack(">d", float(word))


def _shared() -> Iterator[Payload]:
    """Values that are referred to many times, so that a walk takes exponential time."""
    for label, empty, add in (("lists", b"]", b"aa"), ("tuples", b")", b"")):
        code = empty + b"q\x010"
        for level in range(1, 31):
            twice = b"h" + bytes([level])
            pair = twice * 2 + b"\x86" if not add else b"](" + twice * 2 + b"e"
            code += pair + b"q" + bytes([level + 1]) + b"0"
        yield "laughs", label, code + b"h\x1f"
    code = b"}q\x010"
    for level in range(1, 31):
        twice = b"h" + bytes([level])
        pair = b"}(" + text("a") + twice + text("b") + twice + b"u"
        code += pair + b"q" + bytes([level + 1]) + b"0"
    yield "laughs", "dictionaries", code + b"h\x1f"
    yield "laughs", "one long text", text("a" * 10**6) + b"q\x010](" + b"h\x01" * 100_000 + b"e"
    yield "cycle", "a list", b"]q\x01h\x01a"
    yield "cycle", "a dictionary", b"}q\x01" + text("a") + b"h\x01s"
    entries = b"}r\xff\xff\0\0(" + b"".join(_key(n) + b"N" for n in range(100_000)) + b"u0"
    record = b"cmodels.a\nB\n)\x81j\xff\xff\0\0b"
    yield "shared state", "of many records", entries + b"](" + record * 40_000 + b"e"
    pairs = b"](" + b"".join(b"]K\x01aK\x02a" for _ in range(20_000)) + b"eq\x010"
    again = b"0" + name("collections", "OrderedDict") + b"h\x01\x85R"
    yield "copies", "of one list of pairs", pairs + b"N" + again * 1000
    numbers = b"](" + b"".join(_number(n)[:5] for n in range(50_000)) + b"eq\x010"
    yield "copies", "of one set", numbers + b"N" + (b"0c__builtin__\nset\nh\x01\x85R" * 1000)
    words = text("a" * 10**6) + b"q\x010N"
    yield "copies", "of a path", words + (b"0cpathlib\nPath\n(" + b"h\x01" * 90 + b"tR") * 100
    method = name("builtins", "getattr") + b"cmodels.a\nB\n)\x81h\x01\x86R"
    yield "copies", "of a method's name", words + (b"0" + method) * 20_000


def _tensors() -> Iterator[Payload]:
    for label, code in {
        "expanded": tensor(1, (10**6, 10**3), (0, 0)),
        "overlapping": tensor(4, (3, 3), (1, 1)),
        "beyond its storage": tensor(4, (2, 4), (4, 1)),
        "negative offset": tensor(4, (4,), (1,), -1),
        "negative stride": tensor(4, (4,), (-1,), 3),
        "a huge storage": tensor(2**40, (1,), (1,)),
        "more dimensions": tensor(1, (1,) * 60, (1,) * 60),
        "no values of huge shape": tensor(4, (0, 2**39, 2**39), (1, 1, 1)),
        "another length": tensor(3, (3,), (1,)),
    }.items():
        yield "tensor", label, code
    parts = (storage("0", 4), whole(0), b"(K\x04t", b"(K\x01t")
    for kind in (
        "_rebuild_sparse_tensor",
        "_rebuild_nested_tensor",
        "_rebuild_qtensor",
        "_rebuild_meta_tensor_no_storage",
        "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_numpy",
    ):
        yield "tensor of another kind", kind, call("torch._utils", kind, *parts)
    for kind in ("ComplexFloatStorage", "QInt8Storage", "UntypedStorage"):
        yield "storage of another kind", kind, storage("0", 4, kind)
    tiny = b"h\x01h\x02R"
    first = tensor(4, (4,), (1,))
    head, arguments = first.split(b"(", 1)
    code = head + b"q\x010(" + arguments[:-1] + b"q\x020](" + tiny * 100_000 + b"e"
    yield "tensors", "a hundred thousand", code
