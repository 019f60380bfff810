"""Wrong settings are refused before anything trains, and the arms of a seed are pairs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import yaml

from ablation import setup
from ablation.setup import (
    Slot,
    cell_flags,
    check_arms,
    fill_in,
    make_slots,
    read_train_flags,
)
from ablation.study import make_arms, make_cells
from engine.training.plan import plan
from utils.cli import read_flags
from utils.config import TrainConfig
from utils.errors import UserError


def test_one_graph_under_two_names_is_refused(make_config):
    config = make_config(attention=("SE",), at=("index.1+index.2", "index.2+index.1"))
    with pytest.raises(
        UserError, match=r"SE@index.1\+index.2 and SE@index.2\+index.1 are the same graph"
    ):
        check_arms(config, make_arms(config))


def test_missing_values_are_those_that_train_py_would_choose(make_config, material, tmp_path):
    assert fill_in(make_config(epochs=0, imgsz=0, batch_size=0)).epochs == 100
    data = tmp_path / "data.yaml"
    data.write_text(
        Path(material["data"]).read_text()
        + yaml.safe_dump({"defaults": {"epochs": 7, "imgsz": 96}})
    )
    settled = fill_in(make_config(data=str(data), epochs=0, imgsz=0, batch_size=0))
    assert (settled.epochs, settled.imgsz, settled.batch_size) == (7, 96, 16)
    assert fill_in(make_config(data=str(data), epochs=3)).epochs == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "--no-such-flag",
            r"--train: unknown flag or value: --no-such-flag; see python train.py --help",
        ),
        ("--optimizer Lion", r"--train: argument --optimizer: invalid choice"),
        ("--evolve", r"--train: --evolve: is not part of this project"),
        (
            "--epochs 3",
            r"--train: --epochs differs from run to run or is a flag of ablate.py too",
        ),
        ("--resume x", r"--train: --resume"),
        ("--hyp 'a", r"--train --hyp 'a: No closing quotation; check the quotes"),
    ],
)
def test_flags_for_train_py_are_read_at_the_start(make_config, text, message):
    with pytest.raises(UserError, match=message):
        fill_in(make_config(train=text))


def test_impossible_values_for_train_py_are_refused_too(make_config):
    with pytest.raises(UserError, match="--label-smoothing=2"):
        fill_in(make_config(train="--label-smoothing 2"))
    with pytest.raises(UserError, match="no-such"):
        fill_in(make_config(train="--hyp no-such.yaml"))
    assert read_train_flags("--cos-lr --freeze 1 2") == {"cos_lr": True, "freeze": (1, 2)}


def test_an_automatic_batch_size_would_differ_between_arms(make_config, material, tmp_path):
    data = tmp_path / "data.yaml"
    data.write_text(
        Path(material["data"]).read_text() + yaml.safe_dump({"defaults": {"batch_size": -1}})
    )
    with pytest.raises(UserError, match="--batch-size -1: must be the same for all arms"):
        fill_in(make_config(data=str(data), batch_size=0))


def test_train_py_reads_the_flags_of_a_cell(make_config):
    config = fill_in(make_config(attention=("SE:reduction=8",), at=("index 2",), train="--cos-lr"))
    cell = make_cells(config, make_arms(config))[-1]
    flags = cell_flags(config, cell, Slot("cpu", 3))
    words = flags[flags.index("--attention-init") :]
    assert words == [
        "--attention-init",
        "paper",
        "--attention",
        "SE:reduction=8@index 2",
        "--cos-lr",
    ]
    plain = read_flags(
        TrainConfig,
        cell_flags(config, make_cells(config, make_arms(config))[0], Slot("cpu", 3)),
        "",
    )
    assert plain == {
        "data": config.data,
        "cfg": config.cfg,
        "epochs": 2,
        "imgsz": 64,
        "batch_size": 4,
        "seed": 0,
        "device": "cpu",
        "workers": 3,
        "project": str(cell.folder.parent),
        "name": "plain_seed0",
        "exist_ok": True,
        "noplots": True,
        "cos_lr": True,
    }


def test_files_with_own_classes_reach_the_cells(make_config, tmp_path, monkeypatch):
    config = make_config(modules=("a.py", str(tmp_path / "b.py")), attention=("Mine",))
    cell = make_cells(config, make_arms(config))[0]
    monkeypatch.chdir(tmp_path)
    flags = read_flags(TrainConfig, cell_flags(config, cell, Slot("cpu", 0)), "")
    assert flags["modules"] == (str(tmp_path / "a.py"), str(tmp_path / "b.py"))
    with pytest.raises(UserError, match="--train: --modules differs from run to run or is a flag"):
        read_train_flags("--modules a.py")


def test_every_arm_is_built_at_the_start(make_config):
    pytest.importorskip("models.graph.sites")
    good = make_config(attention=("SimAM", "SE:reduction=4"), at=("index 2",))
    check_arms(good, make_arms(good))
    for attention, at, message in (
        ("SimMA", "index 2", "SimMA: no such attention module"),
        ("SE:depth=3", "index 2", "depth"),
        ("SE", "index 99", "index 99"),
    ):
        config = make_config(attention=(attention,), at=(at,))
        with pytest.raises(UserError, match=message):
            check_arms(config, make_arms(config))


def test_a_baseline_that_cannot_be_built_is_refused(make_config, tmp_path):
    (tmp_path / "graph.yaml").write_text("backbone: 3\n")
    config = make_config(cfg=str(tmp_path / "graph.yaml"))
    with pytest.raises(UserError, match=r"graph.yaml"):
        check_arms(config, make_arms(config))


def test_slots_share_the_cores(make_config, monkeypatch):
    monkeypatch.setattr(setup, "usable_cores", lambda: 9)
    slots = make_slots(make_config(slots=0, cores_per_cell=4, workers=8))
    assert slots == [Slot("cpu", 1, {"OMP_NUM_THREADS": "4"})] * 2
    assert len(make_slots(make_config(slots=0, cores_per_cell=16))) == 1
    assert len(make_slots(make_config(slots=5))) == 5


def test_slots_have_a_gpu_each(make_config, monkeypatch):
    monkeypatch.setattr(setup, "usable_cores", lambda: 12)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "4,6,7")
    slots = make_slots(make_config(device="", slots=0, workers=8))
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["4", "6", "7"]
    assert {(slot.device, slot.workers, slot.environment["OMP_NUM_THREADS"]) for slot in slots} == {
        ("0", 4, "4")
    }
    shared = make_slots(make_config(device="0,2", slots=4))
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in shared] == ["4", "7", "4", "7"]
    for wrong, said in (("3", "3 CUDA devices are visible, 0 to 2"), ("x", "is none of a CUDA n")):
        with pytest.raises(UserError, match=f"--device {wrong}: {said}"):
            make_slots(make_config(device=wrong))


def test_slots_of_other_gpus_name_them_to_train(make_config, monkeypatch):
    monkeypatch.setattr(setup, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    slots = make_slots(make_config(device="xpu", slots=0))
    assert slots == [Slot(name, 0, {"OMP_NUM_THREADS": "1"}) for name in ("xpu:0", "xpu:1")]


def prepared(config, cell, changes=None):
    """Initial weights and the batches of two epochs, as train.py has them for a cell's flags."""
    run = plan(read_flags(TrainConfig, cell_flags(config, cell, Slot("cpu", 0)), ""))
    weights = {key: value.clone() for key, value in run.state.model.state_dict().items()}
    run.setup.loaders[0].set_epoch(0, 0)
    batches = list(run.setup.loaders[0])
    run.setup.loaders[0].set_epoch(1, 0)
    return weights, [*batches, *run.setup.loaders[0]]


def test_arms_of_a_seed_are_pairs(make_config, capsys):
    """Shared layers start with bit-equal weights, and images and boxes are equal and in order."""
    pytest.importorskip("models.graph.sites")
    config = fill_in(make_config(attention=("GAM",), at=("index 2",), seeds=1))
    plain, control, gam = (prepared(config, cell) for cell in make_cells(config, make_arms(config)))
    assert plain[0].keys() < gam[0].keys()
    assert all(torch.equal(value, gam[0][key]) for key, value in plain[0].items())
    for ours, theirs in zip(plain[1], gam[1], strict=True):
        assert ours.paths == theirs.paths
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.targets, theirs.targets)
    assert len(plain[1]) == 6
    assert not all(torch.equal(value, control[0][key]) for key, value in plain[0].items())
    assert not torch.equal(plain[1][0].images, control[1][0].images)
