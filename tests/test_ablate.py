"""ablate.py from flags to report: errors, the dry run, studies of pretended and of real cells."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablate import join_train, main, run_cells, seed_blocks
from ablation import engines, job
from ablation.config import StudyConfig
from ablation.report.write import FILES
from ablation.results import StudyResult, state
from ablation.study import PLAIN, make_arms, make_cells
from tests.own_classes import write_classes
from tests.tiny import run_flags, write_data, write_graph
from utils.checkpoint import read
from utils.errors import run_main
from utils.files import ROOT

Command = Callable[..., list[str]]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("material")
    more = ["--cores-per-cell", "1", "--slots", "2", "--train", "--cache no"]
    return run_flags(write_graph(folder), write_data(folder), *more)


@pytest.fixture
def command(material: list[str], tmp_path: Path) -> Command:
    def make(*more: str) -> list[str]:
        return [*material, "--project", str(tmp_path), "--seeds", "2", "--epochs", "3", *more]

    return make


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let cells run standin.py, as in tests/ablation."""
    monkeypatch.setattr(job, "TRAIN", Path(__file__).parent / "ablation" / "standin.py")
    monkeypatch.setattr(engines, "PROCESS_POLL", 0.01)
    monkeypatch.setattr(ablate, "measure_costs", lambda *_: {})
    monkeypatch.setattr(ablate, "write_report", lambda result, folder: print(f"report in {folder}"))

    def choose(**behaviour: Any) -> None:
        (tmp_path / "behaviour.json").write_text(json.dumps(behaviour))

    choose()
    return choose


def test_a_value_that_looks_like_a_flag_belongs_to_train():
    words = ["--seeds", "2", "--train", "--cos-lr", "--aa", "0"]
    assert join_train(words) == ["--seeds", "2", "--train=--cos-lr", "--aa", "0"]
    assert join_train(["--train"]) == ["--train"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data", "no.yaml"], "no.yaml: no such file"),
        (["--cfg", "no.yaml"], "no.yaml"),
        (["--seeds", "x"], "argument --seeds: x is no whole number; see"),
        (["--resume"], "--resume: is not needed; the same command started again continues"),
        (["--no-aa"], "--no-aa: use --aa 0"),
        (["--engine", "slurm"], "--engine: invalid choice"),
        (["--train", "--epochs 9"], "--train: --epochs differs from run to run"),
        (["--device", "7"], "--device 7: 0 CUDA devices are visible"),
    ],
)
def test_mistakes_are_one_line_and_status_2(command, tmp_path, capsys, flags, said):
    assert run_main(main, command(*flags)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "study" / "cells").exists()


def test_an_unknown_module_or_place_is_refused_before_anything_trains(command, tmp_path, capsys):
    pytest.importorskip("models.graph.sites")
    assert run_main(main, command("--attention", "SimMA")) == 2
    assert "SimMA: no such attention module; did you mean SimAM?" in capsys.readouterr().err
    assert run_main(main, command("--attention", "SimAM", "--at", "nek")) == 2
    assert "has no place 'nek'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_study_runs_and_continues_and_reports(command, pretend, tmp_path, capsys):
    first = main(command())
    assert isinstance(first, StudyResult)
    assert [(cell.arm, cell.train_seed) for cell in first.cells] == [
        ("plain", 0),
        ("A/A", 1000),
        ("plain", 1),
        ("A/A", 1001),
    ]
    assert [verdict.arm for verdict in first.verdicts] == ["A/A"]
    assert first.provenance["command"].startswith("python ablate.py --cfg")
    assert f"report in {tmp_path / 'study'}" in capsys.readouterr().out
    again = main(command())
    assert again.cells == first.cells
    assert again.verdicts == first.verdicts
    assert (tmp_path / "trace").read_text().count("\n") == 4


def test_failed_cells_are_status_1_and_in_the_report(command, pretend, capsys, monkeypatch):
    pretend(fail=["A-A_seed1001"])
    seen: list[StudyResult] = []
    monkeypatch.setattr(ablate, "write_report", lambda result, folder: seen.append(result))
    with pytest.raises(SystemExit) as status:
        main(command())
    assert status.value.code == 1
    assert seen[0].failed == {"A/A seed 1001": "exit status 1: RuntimeError: the sky fell"}
    assert len(seen[0].cells) == 3


def test_a_study_whose_baseline_failed_has_no_verdicts(command, pretend, monkeypatch):
    pretend(fail=["plain_seed0", "plain_seed1"])
    seen: list[StudyResult] = []
    monkeypatch.setattr(ablate, "write_report", lambda result, folder: seen.append(result))
    with pytest.raises(SystemExit):
        main(command())
    assert (seen[0].verdicts, seen[0].noise) == ([], None)


def test_a_damaged_cell_is_run_again_and_named(command, pretend, tmp_path, capsys):
    """Its folder is kept aside, and no other finished run is repeated."""
    main(command("--seeds", "1"))
    folder = tmp_path / "study" / "cells" / "plain_seed0"
    (folder / "metrics.json").write_text("{")
    capsys.readouterr()
    assert main(command("--seeds", "1")) is not None
    said = capsys.readouterr().out
    assert "plain seed 0 is run again: " in said
    assert "metrics.json: cannot be read" in said
    assert f"its former folder is now {folder}.damaged" in said
    assert (tmp_path / "trace").read_text().count("\n") == 3


def test_the_dry_run_lists_arms_and_time_and_trains_nothing(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ablation.costs.MAX_ROUNDS", 5)
    assert run_main(main, command("--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["arm", "runs", "parameters"]
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["plain", "2", "11,370"],
        ["A/A", "2", "11,370"],
    ]
    assert lines[5].startswith("4 runs of 3 epochs, 64 px, batch 4, 2 at a time: about ")
    assert "Nothing was trained." in lines[-1]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def sham(tmp_path: Path, material: list[str], pretend: Callable[..., None]) -> StudyConfig:
    return StudyConfig(
        data=material[3],
        cfg=material[1],
        epochs=1,
        imgsz=64,
        batch_size=4,
        device="cpu",
        slots=2,
        seeds=4,
        aa=0,
        attention=("SE@a", "SE@b"),
        futility=True,
        project=str(tmp_path),
    )


def test_hopeless_arms_are_stopped_after_whole_seeds_only(sham, monkeypatch, capsys):
    looks: list[dict[str, dict[int, float]]] = []

    def rule(scores, baseline, delta, planned, controls):
        looks.append({arm: dict(values) for arm, values in scores.items()})
        assert (baseline, delta, planned) == (PLAIN, 0.005, 4)
        return {"SE@b"} if len(scores[PLAIN]) == 3 else set()

    monkeypatch.setattr(ablate, "futile", rule)
    cells = make_cells(sham, make_arms(sham))
    assert run_cells(sham, cells) == {"SE@b"}
    assert [sorted(look["SE@a"]) for look in looks] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert [cell.folder.name for cell in cells if state(cell) != "done"] == ["SE@b_seed3"]
    assert "SE@b: stopped after 3 seeds" in capsys.readouterr().out
    first = list(looks)
    looks.clear()
    assert run_cells(sham, cells) == {"SE@b"}
    assert looks == first


def test_a_study_with_looks_is_continued_as_planned(command, pretend, monkeypatch, capsys):
    """The cells are written at once; 0.01 is far above the noise, so the arm helps at the end."""
    ran: list[str] = []

    def write(due, config, board):
        for cell in due:
            ran.append(cell.folder.name)
            cell.folder.mkdir(parents=True, exist_ok=True)
            (cell.folder / "results.csv").write_text("epoch\n0\n")
            score = 0.3 + 0.01 * bool(cell.arm.attention) + 0.0001 * (cell.train_seed % 2)
            score += 0.0003 * (cell.seed == 1) * bool(cell.arm.attention)
            (cell.folder / "metrics.json").write_text(json.dumps({"map": score}))

    monkeypatch.setitem(ablate.ENGINES, "local", write)
    monkeypatch.setattr(ablate, "check_arms", lambda *_: None)
    flags = ["--attention", "SE@index 1", "--aa", "0", "--looks", "3", "4", "6"]
    first = main(command(*flags, "--seeds", "3"))
    assert len(ran) == 6
    assert first.looks.left == ((4, 6) if first.verdicts[0].verdict == "no evidence" else ())
    assert "look 1 of 3, after 3 seeds: " in capsys.readouterr().out
    last = main(command(*flags, "--seeds", "6"))
    assert last.verdicts[0].verdict == "helps"
    assert len(ran) == len(set(ran)) == 2 * last.verdicts[0].seeds
    assert run_main(main, command(*flags[:4], "--looks", "3", "6", "--seeds", "6")) == 2
    error = capsys.readouterr().err
    assert "this study has looks [3, 4, 6], now it is [3, 6]" in error
    assert error.count("\n") == 1


def test_without_futility_all_cells_are_one_block():
    config = StudyConfig(seeds=2)
    cells = make_cells(config, make_arms(config))
    assert list(seed_blocks(config, cells)) == [cells]


@pytest.mark.slow
def test_own_classes_in_real_cells(command, tmp_path):
    """Attention of a person's file is trained, timed and explained like ours."""
    file = write_classes(tmp_path)
    arms = ["--aa", "0", "--seeds", "1", "--epochs", "1", "--attention", "Mine@index 1"]
    result = main(command(*arms, "--modules", str(file), "--attention-init", "identity"))
    assert not result.failed
    (cell,) = (tmp_path / "study" / "cells").glob("*Mine*")
    assert read(cell / "weights" / "best.pt").modules[0]["classes"] == ["Mine"]
    assert result.causes["Mine@index 1 identity"]
    assert result.costs["Mine@index 1 identity"].parameters == 11370 + 149


@pytest.mark.slow
def test_thirty_kills_and_restarts_change_nothing(command, tmp_path):
    """Two arms and two seeds of real cells, with SIGKILL for all processes at random moments."""
    arms = ["--epochs", "8", "--aa", "0", "--attention", "SE@index 1"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "ablate.py"), *command(*arms)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )

    folder, others = (
        tmp_path / "study",
        {name: tmp_path / name for name in ("undisturbed", "killed")},
    )
    assert start().wait() == 0
    folder.rename(others["undisturbed"])
    draw = random.Random(0)
    for _ in range(30):
        process = start()
        time.sleep(draw.uniform(1, 14))
        process.kill()
        process.wait()
    assert start().wait() == 0
    folder.rename(others["killed"])
    take_over_clock(*others.values())
    reports = []
    for other in others.values():
        other.rename(folder)  # a report names its folder
        assert start().wait() == 0
        reports.append({name: (folder / name).read_bytes() for name in FILES})
        folder.rename(other)
    assert reports[0] == reports[1]
    assert len(list((others["killed"] / "cells").iterdir())) == 4
    assert not list((others["killed"] / "cells").glob("*/failed.json"))


def take_over_clock(source: Path, target: Path) -> None:
    """Copy all that was measured with a clock, in which two runs of one study may differ."""
    shutil.copy(source / "costs.json", target)
    for cell in sorted((source / "cells").iterdir()):
        other = target / "cells" / cell.name
        shutil.copy(cell / "timing.json", other)
        theirs, own = (json.loads((path / "metrics.json").read_text()) for path in (cell, other))
        timed = {key: theirs[key] for key in ("speed_ms", "memory_mb")}
        (other / "metrics.json").write_text(json.dumps({**own, **timed}))
