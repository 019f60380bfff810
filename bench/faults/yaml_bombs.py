"""YAML that costs without bound, and the places and programs that read it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

LEVELS = 12


def _laughs(form: str, count: int = LEVELS) -> str:
    """Lines that define a0 … , each in the form given, with {x} for the one before."""
    lines = ["b0: &b0 {k: [x, y, z]}"]
    lines += [f"b{n}: &b{n} " + form.format(x=f"*b{n - 1}", n=n) for n in range(1, count)]
    return "\n".join(lines) + "\n"


def _last(count: int = LEVELS) -> str:
    return f"*b{count - 1}"


# Name -> (lines before, the value). Values near the bounds are read and must then be refused, or
# taken, where they are used.
VALUES: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "lists of aliases": (_laughs("[" + "{x}," * 9 + "]"), _last()),
        "mappings of aliases": (
            _laughs("{{p: {x}, q: {x}, r: {x}, s: {x}}}", 24),
            _last(24),
        ),
        "merges that double": (_laughs("{{<<: [{x}, {x}], m{n}: 1}}", 40), _last(40)),
        "chain of merges": (_laughs("{{<<: {x}, m{n}: 1}}", 3000), _last(3000)),
        "merges within the depth": (_laughs("{{<<: {x}, m{n}: 1}}", 90), _last(90)),
        "long chain of lists": (_laughs("[{x}]", 5000), _last(5000)),
        "list that holds itself": ("", "&self [*self]"),
        "mapping that holds itself": ("", "&self {k: *self}"),
        "merge of itself": ("", "&self {<<: *self}"),
        "deep flow list": ("", "[" * 40_000),
        "deep closed flow list": ("", "[" * 5000 + "]" * 5000),
        "deep flow mapping": ("", "{k: " * 20_000),
        "list within the depth": ("", "[" * 90 + "1" + "]" * 90),
        "list within the size": ("", "[" + "1," * 240_000 + "]"),
        "aliases within the size": (_laughs("[" + "{x}," * 9 + "]", 5), _last(5)),
        "mapping within the size": ("", "{" + ",".join(f"k{n}: 1" for n in range(120_000)) + "}"),
        "too many entries": ("", "[" + "x," * 1_500_000 + "]"),
        "integer of 5,000 digits": ("", "9" * 5000),
        "integer of 1,000,000 digits": ("", "9" * 1_000_000),
        "hexadecimal": ("", "0x" + "f" * 1_000_000),
        "sexagesimal": ("", "1" + ":59" * 300_000),
        "octal": ("", "0" + "7" * 100_000),
        "float of 1,000,000 digits": ("", "1." + "9" * 1_000_000),
        "infinity": ("", ".inf"),
        "text of 9 MB": ("", '"' + "x" * 9_000_000 + '"'),
        "text repeated by aliases": (
            'long: &long "' + "x" * 1_000_000 + '"\n',
            "[" + "*long," * 9000 + "]",
        ),
        "code": ("", "!!python/object/apply:os.system ['touch canary']"),
        "set of aliases": (_laughs("!!set {{{x}}}"), _last()),
        "ordered mapping": ("", "!!omap [" + "{k: 1}," * 100_000 + "]"),
        "binary": ("", '!!binary "' + "A" * 4_000_000 + '"'),
        "impossible date": ("", "2001-99-99"),
        "date with an impossible zone": ("", "2001-12-14T21:59:43.10-99:99"),
        "wrong tag": ("", "!!bool [1]"),
        "keys that are lists": ("", "{[a, b]: 1}"),
    }
)


def _pipe(path: Path, text: str) -> None:
    os.mkfifo(path)


def _device(path: Path, text: str) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path, text: str) -> None:
    path.write_text(text)
    os.truncate(path, 10**12)


def _documents(path: Path, text: str) -> None:
    path.write_text("---\na: 1\n" * 200_000 + text)


def _utf16(path: Path, text: str) -> None:
    path.write_bytes((_laughs("[" + "{x}," * 9 + "]") + text).encode("utf-16"))


def _anchors(path: Path, text: str) -> None:
    path.write_text("".join(f"n{n}: &n{n} [*n{n - 1}]\n" if n else "n0: &n0 x\n"
                            for n in range(100_000)) + text)  # fmt: skip


# Name -> what writes the whole file; its parameters are the path and sound YAML.
WHOLE: MappingProxyType[str, Callable[[Path, str], None]] = MappingProxyType(
    {
        "named pipe": _pipe,
        "link to a device": _device,
        "sparse file of 1 TB": _sparse,
        "200,000 documents": _documents,
        "lists of aliases in UTF-16": _utf16,
        "chain of 100,000 anchors": _anchors,
    }
)

DATA_KEYS = (
    "defaults",
    "defaults: {hyp: HERE}",
    "defaults: {hyp: {lr0: HERE}}",
    "defaults: {imgsz: HERE}",
    "defaults: {v8: HERE}",
    "generate",
    "names",
    "names: [red, HERE]",
    "names: {0: red, 1: HERE}",
    "nc",
    "path",
    "train",
    "val",
    "train: [images, HERE]",
    "format",
    "about",
    "download",
    "other",
)
MODEL_KEYS = (
    "nc",
    "anchors",
    "anchors: [HERE, HERE]",
    "depth_multiple",
    "activation",
    "scales",
    "scales: {n: HERE}",
    "scale",
    "backbone",
    "backbone: [[-1, 1, Conv, HERE]]",
    "backbone: [[HERE, 1, Conv, [64, 3, 2]]]",
    "backbone: [[-1, HERE, Conv, [64, 3, 2]]]",
    "backbone: [[-1, 1, HERE, [64, 3, 2]]]",
    "backbone: [[-1, 1, Conv, [64, HERE]]]",
    "backbone: [[-1, 1, SimAM, {e_lambda: HERE}]]",
    "backbone: [[-1, 1, HERE]]",
    "head",
    "other",
)
HYP_KEYS = ("lr0", "anchors", "mosaic", "other")
STUDY_KEYS = ("settings", "seeds", "inputs", "code", "other")
PROGRAMS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": ("train", "val", "detect", "ablate", "convert", "api train", "api val"),
        "model": (
            "train",
            "val",
            "detect",
            "export",
            "yolo",
            "lint",
            "lint --fix",
            "ablate",
            "api",
        ),
        "hyp": ("train", "ablate"),
        "study": ("ablate",),
    }
)


@dataclass(frozen=True)
class YamlBomb:
    """A file that costs without bound, and the program that gets it.

    Attributes:
        construction: a key of VALUES or WHOLE.
        file: which kind of file it is, a key of PROGRAMS.
        key: the line of that file into which the value goes, with HERE for the value.
        program: one of PROGRAMS[file].
    """

    construction: str
    file: str
    key: str
    program: str

    def write(self, path: Path, sound: str) -> None:
        """Write the file, where `sound` is the text of one that is read."""
        if self.construction in WHOLE:
            WHOLE[self.construction](path, sound)
            return
        before, value = VALUES[self.construction]
        line = self.key if "HERE" in self.key else f"{self.key}: HERE"
        key = line.partition(":")[0]
        kept = _without(sound, key)
        path.write_text(f"{before}{kept}{line.replace('HERE', value)}\n")


def _without(text: str, key: str) -> str:
    """YAML without the lines of one key at its top."""
    kept, leave = [], False
    for line in text.splitlines(keepends=True):
        if line[:1] not in (" ", "-", "\n", "#"):
            leave = line.startswith(f"{key}:")
        if not leave:
            kept.append(line)
    return "".join(kept)


def make_bombs(count: int) -> list[YamlBomb]:
    """Bombs of every construction, file, key and program, as evenly as the count allows."""
    draw = random.Random(0)
    keys = {"data": DATA_KEYS, "model": MODEL_KEYS, "hyp": HYP_KEYS, "study": STUDY_KEYS}
    places = [(file, key) for file, each in keys.items() for key in each]
    programs = [(file, program) for file, each in PROGRAMS.items() for program in each]
    constructions = [*VALUES, *WHOLE]
    draw.shuffle(places)
    draw.shuffle(constructions)
    bombs = []
    for number in range(count):
        file, key = places[number % len(places)]
        fitting = [program for one, program in programs if one == file]
        construction = constructions[number % len(constructions)]
        bombs.append(YamlBomb(construction, file, key, fitting[number // 2 % len(fitting)]))
    return bombs
