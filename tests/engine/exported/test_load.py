"""The kinds of exported files, and what a program may do with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.exported.load import OPENERS, can_halve, load_detector, load_exported
from engine.exported.model import ExportedDetector
from tests.engine.exported.files import NAMES, write_onnx, write_torchscript
from utils.errors import UserError
from utils.exported_names import ELSEWHERE, RUN_HERE

CPU = torch.device("cpu")


def test_every_kind_that_is_run_here_has_an_opener():
    assert tuple(OPENERS) == RUN_HERE


@pytest.mark.parametrize("end", sorted(ELSEWHERE))
def test_what_is_run_elsewhere_says_where(end, tmp_path):
    with pytest.raises(UserError, match=r"needs .*give the checkpoint, or export it") as error:
        load_exported(tmp_path / f"best{end}", CPU)
    assert ELSEWHERE[end] in str(error.value)


def test_an_exported_file_is_loaded_alone_and_as_it_is(tmp_path):
    path = str(write_onnx(tmp_path / "best.onnx"))
    assert isinstance(load_detector([path], CPU), ExportedDetector)
    with pytest.raises(UserError, match="an ensemble takes checkpoints"):
        load_detector(["best.pt", path], CPU)
    with pytest.raises(UserError, match=r"--attention: .*graph cannot be changed"):
        load_detector([path], CPU, attention=("SimAM@neck",))
    with pytest.raises(UserError, match=r"nowhere\.onnx"):
        load_exported("nowhere.onnx", CPU)


def test_both_kinds_of_file_agree(tmp_path: Path):
    images = torch.rand(1, 3, 96, 96)
    one = load_exported(write_onnx(tmp_path / "best.onnx"), CPU)
    two = load_exported(write_torchscript(tmp_path / "best.torchscript"), CPU)
    torch.testing.assert_close(one(images)[0], two(images)[0])
    assert one.names == two.names == NAMES


def test_half_precision_is_said_to_be_the_files(capsys):
    assert can_halve(["best.pt"])
    assert not can_halve(["best.onnx"])
    assert "--half: an exported file keeps" in capsys.readouterr().out
