"""Flags from dataclass fields: spellings, kinds, and errors that name the flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from utils.cli import build, flag, names_of, read_flags
from utils.errors import UserError
from utils.version import __version__


@dataclass(frozen=True)
class Options:
    conf_thres: float = flag(0.25, "confidence")
    imgsz: tuple[int, ...] = flag([640], "size", aliases=("--img", "--img-size"))
    save_txt: bool = flag(False, "labels too")
    classes: tuple[int, ...] = flag(None, "filter", nargs="+", kind=int)
    cache: str = flag("no", "images", nargs="?", const="ram", choices=("ram", "no"))
    name: str = flag("exp", "name")
    inner: int = flag(3, "not a flag", flag=False)
    plain: int = 4


def read(*words: str, **options) -> dict[str, object]:
    return read_flags(Options, list(words), "A program.", **options)


def test_only_given_flags_are_returned():
    assert read() == {}
    assert read("--name", "exp") == {"name": "exp"}
    assert build(Options, read("--save-txt")) == Options(save_txt=True)


def test_help_names_the_version(capsys):
    with pytest.raises(SystemExit):
        read("--help")
    assert capsys.readouterr().out.rstrip().endswith(f"Attention YOLO {__version__}")


def test_defaults_are_what_the_fields_say():
    assert Options() == Options(0.25, (640,), False, None, "no", "exp", 3, 4)


@pytest.mark.parametrize(("words", "expected"), [
    (("--conf-thres", "0.5"), {"conf_thres": 0.5}),
    (("--conf_thres", "0.5"), {"conf_thres": 0.5}),
    (("--conf-thres=.5",), {"conf_thres": 0.5}),
    (("--img", "320"), {"imgsz": (320,)}),
    (("--img-size", "320", "640"), {"imgsz": (320, 640)}),
    (("--save-txt",), {"save_txt": True}),
    (("--classes", "0", "2"), {"classes": (0, 2)}),
    (("--cache",), {"cache": "ram"}),
    (("--cache", "no"), {"cache": "no"}),
])  # fmt: skip
def test_spellings_and_kinds(words, expected):
    assert read(*words) == expected


@pytest.mark.parametrize(("words", "named"), [
    (("--conf-thres", "high"), "--conf-thres"),
    (("--classes", "cat"), "--classes"),
    (("--cache", "tape"), "--cache"),
    (("--name-of", "0.5"), "--name-of"),  # only beginnings are completed
    (("--inner", "5"), "--inner"),
    (("--plain", "5"), "--plain"),
    (("stray",), "stray"),
    (("--imgsz",), "--imgsz"),
])  # fmt: skip
def test_a_bad_flag_or_value_is_named(words, named):
    with pytest.raises(UserError, match=named) as caught:
        read(*words)
    assert "\n" not in str(caught.value)
    assert "--help" in str(caught.value) or "did you mean" in str(caught.value)


@pytest.mark.parametrize("word", ["--old-flag", "--old_flag", "--old-flag=3"])
def test_a_refused_flag_says_what_to_use(word):
    with pytest.raises(UserError, match="use --name instead"):
        read(word, refused={"--old-flag": "use --name instead"})


def test_a_refused_flag_outranks_other_unknown_ones():
    with pytest.raises(UserError, match="use --name instead"):
        read("--typo", "--old-flag", "3", refused={"--old-flag": "use --name instead"})


def test_names_of_lists_each_spelling_once():
    import dataclasses

    names = {field.name: names_of(field) for field in dataclasses.fields(Options) if field.metadata}
    assert names["conf_thres"] == ["--conf-thres", "--conf_thres"]
    assert names["imgsz"] == ["--imgsz", "--img", "--img-size"]


def test_help_shows_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        read("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--img-size" in shown
    assert "--inner" not in shown
    for line in (
        "confidence (default: 0.25)\n",
        "size (default: 640)\n",
        "labels too\n",
        "filter\n",
    ):
        assert line in shown


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"imgsz": ("a",)}, "imgsz: 'a' is str"),
        ({"imgsz": (64.5,)}, "imgsz: 64.5 is float, int"),
        ({"formats": (["onnx"],)}, "formats: .'onnx'. is list, str is needed"),
        ({"words": (3,)}, "words: 3 is int, str"),
    ],
)
def test_values_within_a_list_must_be_of_its_kind(values: dict[str, object], told: str) -> None:
    @dataclass(frozen=True)
    class Lists:
        imgsz: tuple[int, ...] = flag([640], "size")
        formats: tuple[str, ...] = flag(["onnx"], "formats")
        words: tuple[str, ...] = flag((), "words", kind=str, nargs="+")

    with pytest.raises(UserError, match=told):
        build(Lists, values)
    assert build(Lists, {"imgsz": (np.int64(64),), "words": ("a",)}).words == ("a",)


def test_whole_numbers_are_fine_in_a_list_of_floats() -> None:
    @dataclass(frozen=True)
    class Sample:
        gains: tuple[float, ...] = flag([0.5], "gains")

    assert build(Sample, {"gains": (1, 2.5)}).gains == (1, 2.5)
    with pytest.raises(UserError, match=r"gains: '1' is str, float is needed"):
        build(Sample, {"gains": ("1",)})


@pytest.mark.parametrize("word", ["9" * 21, "-" + "9" * 21, "9" * 5000])
def test_a_number_that_no_library_can_count_with_is_refused(word: str) -> None:
    @dataclass
    class Flags:
        epochs: int = flag(1, "epochs")
        rows: tuple[int, ...] = flag([], "rows", kind=int)

    for words in ([f"--epochs={word}"], [f"--rows={word}"]):
        with pytest.raises(UserError) as error:
            read_flags(Flags, words, "")
        assert len(str(error.value)) < 200
