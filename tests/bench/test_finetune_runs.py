"""A run of the fine-tuning comparison: its commands, what is read of them, and its resumption."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import finetune_runs as module
from bench.beside.process import CommandTiming
from bench.beside.programs import OURS, YOLOV5, make_programs
from bench.finetune_runs import FinetuneRun, FinetuneSet, FinetuneSettings, make_run
from utils.errors import UserError

SETTINGS = FinetuneSettings(Path("/w/yolov5n.pt"), Path("/h/low.yaml"), "yolov5n", 2, 16, 1)
CURVES = """\
      epoch,   train/box_loss,   metrics/precision,  metrics/mAP_0.5,metrics/mAP_0.5:0.95
          0,             0.11,                 0.2,              0.3,                 0.1
          1,             0.10,                 0.2,              0.4,                 0.2
"""
ROWS = """\
                 Class     Images  Instances          P          R      mAP50   mAP50-95
                   all         72        980      0.752      0.581      0.695      0.402
                   RBC         72        819      0.712      0.581      0.795      0.502
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Programs that write what they would write, and the list of their command lines."""
    commands = []

    def run(command, log, table=None):
        words = list(command.words)
        commands.append(words)
        if "--project" in words and "--epochs" in words:
            folder = Path(words[words.index("--project") + 1]) / "train"
            (folder / "weights").mkdir(parents=True)
            (folder / "results.csv").write_text(CURVES)
        log.write_text(ROWS)
        return CommandTiming(wall=2.0)

    monkeypatch.setattr(module, "run_timed", run)
    monkeypatch.setattr(module, "converted", lambda dataset, program: program.home / "data.yaml")
    programs = make_programs({YOLOV5: "python"}, tmp_path, 1, "")
    for program in programs.values():
        program.home.mkdir()
        (program.home / "data.yaml").write_text("names: {0: RBC, 1: WBC}\n")
    return tmp_path, programs, commands


def run_of(program, seed=0):
    return FinetuneRun(FinetuneSet("bccd", "bccd.yaml", 320), program, seed)


def test_both_programs_train_with_the_same_flags(stage):
    out, programs, commands = stage
    for program in (OURS, YOLOV5):
        make_run(run_of(program), SETTINGS, programs, out)
    ours, theirs = (words for words in commands if "--epochs" in words)
    assert (ours[0], theirs[0]) == (programs[OURS].python, programs[YOLOV5].python)
    assert ours[-2:] == ["--name", "train"]
    extra = ours.index("--precision")
    assert ours[extra : extra + 2] == ["--precision", "fp32"]
    flags = [ours[2:extra] + ours[extra + 2 :], theirs[3:]]
    alike = [first for first, second in zip(*flags, strict=True) if first != second]
    assert len(alike) == 2  # its own copy of the data, and its own folder
    for word in ("/w/yolov5n.pt", "/h/low.yaml", "ram", "320"):
        assert word in theirs


def test_best_is_scored_by_both_programs(stage):
    out, programs, commands = stage
    result = make_run(run_of(OURS), SETTINGS, programs, out)
    assert result.scores == {OURS: (0.695, 0.402), YOLOV5: (0.695, 0.402)}
    assert (result.map, result.map50) == ([0.1, 0.2], [0.3, 0.4])
    assert result.seconds == 6
    best = out / "runs/bccd-320-this-project-0/train/weights/best.pt"
    weights = [words[words.index("--weights") + 1] for words in commands if "--weights" in words]
    # YOLOv5 cannot read our file: it gets a checkpoint made from the exported weights.
    assert weights == [
        "/w/yolov5n.pt",
        *(str(best), str(best)),  # scored, exported
        str(best.with_name("best_yolov5.pt")),
    ]
    made = next(words for words in commands if words[2] == module.MAKE_CHECKPOINT)
    assert made[3:5] == ["yolov5n", '["RBC", "WBC"]']
    assert made[5:] == [str(best.with_name(f"best_{name}.pt")) for name in ("upstream", "yolov5")]


def test_yolov5_scores_its_own_file(stage):
    out, programs, commands = stage
    make_run(run_of(YOLOV5), SETTINGS, programs, out)
    assert len(commands) == 3
    assert {words[words.index("--weights") + 1] for words in commands[1:]} == {
        str(out / "runs/bccd-320-yolov5-0/train/weights/best.pt")
    }


def test_a_run_that_has_a_result_is_not_made_again(stage):
    out, programs, commands = stage
    first = make_run(run_of(YOLOV5), SETTINGS, programs, out)
    count = len(commands)
    assert make_run(run_of(YOLOV5), SETTINGS, programs, out) == first
    assert len(commands) == count
    make_run(run_of(YOLOV5, seed=1), SETTINGS, programs, out)
    assert len(commands) == 2 * count


def test_an_interrupted_run_is_made_anew(stage):
    out, programs, _ = stage
    half = out / "runs" / run_of(YOLOV5).name / "train"
    half.mkdir(parents=True)
    (half / "left").touch()
    make_run(run_of(YOLOV5), SETTINGS, programs, out)
    assert not (half / "left").exists()


def test_a_result_of_other_settings_is_not_taken(stage):
    out, programs, _ = stage
    make_run(run_of(YOLOV5), SETTINGS, programs, out)
    other = FinetuneSettings(SETTINGS.weights, SETTINGS.hyp, "yolov5n", 3, 16, 1)
    with pytest.raises(UserError, match="other settings"):
        make_run(run_of(YOLOV5), other, programs, out)


def test_scores_are_those_of_all_classes():
    assert module.read_scores(ROWS) == (0.695, 0.402)
    with pytest.raises(UserError, match="no row"):
        module.read_scores("Class Images\n")


def test_a_data_set_is_converted_once_for_each_program(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "convert", seen.append)
    programs = make_programs({YOLOV5: "python"}, tmp_path, 1, "")
    files = [module.converted(run_of(OURS).dataset, one) for one in programs.values()]
    assert [str(Path(config.out) / "data.yaml") for config in seen] == [str(file) for file in files]
    assert all(config.copy for config in seen)  # YOLOv5 rewrites damaged images in place
    files[0].parent.mkdir(parents=True)
    files[0].touch()
    module.converted(run_of(OURS).dataset, programs[OURS])
    assert len(seen) == 2
