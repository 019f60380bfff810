"""A person's own classes from --modules to checkpoint, and back in every program."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

import detect
import export
import hubconf
import train
import val
from api import YOLO
from models import command
from models.graph.own_files import use_modules
from models.own.registry import OWN, say
from models.weights.load import load_model
from models.yolo import DetectionModel
from tests import own_classes
from tests.own_classes import CLASSES, write_classes, write_own_graph
from tests.tiny import run_flags, write_data
from tests.upstream_files import upstream_file
from utils import checkpoint as checkpoints
from utils.errors import UserError, run_main

NAMES = ["Block", "Down", "Fuse", "Gate", "Mine", "Weighted"]


def forget() -> None:
    """As in a new process."""
    OWN.clear()
    say.cache_clear()


def train_own(folder: Path, name: str, *more: str) -> Path:
    flags = run_flags(folder / "own.yaml", folder / "data.yaml", "--noplots", "--cache", "no")
    place = ["--project", str(folder), "--name", name, "--modules", str(folder / "my_classes.py")]
    train.main([*flags, *place, *more])
    return folder / name / "weights"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files and the checkpoints of a short run."""
    folder = tmp_path_factory.mktemp("own")
    write_classes(folder)
    write_own_graph(folder)
    write_data(folder)
    train_own(folder, "run", "--epochs", "2", "--save-period", "1")
    forget()
    return folder


@pytest.fixture
def best(trained: Path) -> str:
    return str(trained / "run" / "weights" / "best.pt")


@pytest.fixture
def classes(trained: Path) -> str:
    return str(trained / "my_classes.py")


def test_the_checkpoint_names_the_file_and_holds_no_code(trained: Path, best: str) -> None:
    checkpoint = checkpoints.read(best)
    (entry,) = checkpoint.modules
    assert entry["file"] == "my_classes.py"
    assert entry["classes"] == NAMES
    assert isinstance(entry["sha256"], str)
    assert len(entry["sha256"]) == 64
    assert b"nn.Conv2d" not in Path(best).read_bytes()
    assert {"model.3_Mine.fc.0.weight", "model.5.cv.weight"} <= checkpoint.state.keys()


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (train, ["--weights", "{best}", "--data", "{folder}/data.yaml"]),
        (train, ["--resume", "{folder}/run/weights/epoch0.pt"]),
        (val, ["--weights", "{best}", "--data", "{folder}/data.yaml"]),
        (detect, ["--weights", "{best}", "--source", "{folder}/images/val"]),
        (export, ["--weights", "{best}"]),
    ],
)
def test_without_the_file_every_program_asks_for_it(
    trained: Path,
    best: str,
    program: ModuleType,
    flags: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word.format(best=best, folder=trained) for word in flags]
    assert run_main(program.main, words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its graph uses Block, Down, Fuse, Gate, Mine, Weighted of my_classes.py" in line
    assert line.endswith("add --modules my_classes.py")


def test_with_the_file_every_program_works(
    trained: Path, best: str, classes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--modules", classes, "--project", str(tmp_path), "--name", "out"]
    data = ["--data", str(trained / "data.yaml"), "--imgsz", "64", "--device", "cpu"]
    metrics = val.main(["--weights", best, *data, "--workers", "0", "--noplots", *place])
    assert checkpoints.read(best).scores["mAP_0.5"] == pytest.approx(metrics.map50, abs=0.02)
    out = capsys.readouterr().out
    assert out.count("Mine(dim, reduction=16): takes the map's channels, then") == 1
    source = ["--source", str(trained / "images" / "val"), "--device", "cpu", "--save-txt"]
    detect.main(["--weights", best, *source, *place])
    files = export.main(
        ["--weights", best, "--include", "torchscript", "--imgsz", "64", "--modules", classes]
    )
    images = torch.rand(1, 3, 64, 64)
    found = torch.jit.load(str(files[0]))(images)
    torch.testing.assert_close(found, load_model(best)(images)[0], rtol=1e-4, atol=1e-3)
    assert command.main(["--cfg", str(trained / "own.yaml"), "--modules", classes]) == 0
    assert "my_classes.Block" in capsys.readouterr().out


def test_weights_move_to_other_graphs(
    trained: Path, best: str, classes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a graph with one more own module, and back from the keys of the original programs."""
    start = run_flags(trained / "own.yaml", trained / "data.yaml", "--noplots", "--epochs", "1")
    place = ["--modules", classes, "--project", str(tmp_path), "--name"]
    more = ["--attention", "Mine@index 8", "--attention-init", "identity"]
    train.main([*start, *place, "more", "--weights", best, *more])
    whole = len(checkpoints.read(best).state)
    assert f"{whole}/{whole + 5} tensors" in capsys.readouterr().out.replace(" of ", "/")
    state = checkpoints.read(tmp_path / "more" / "weights" / "last.pt").state
    assert "model.6_Mine.alpha" in state
    (upstream,) = export.main(["--weights", best, "--save-upstream", "--modules", classes])
    assert "model.4.fc.0.weight" in torch.load(upstream, weights_only=True)
    train.main([*start, *place, "back", "--weights", str(upstream)])
    assert f"{whole}/{whole} tensors" in capsys.readouterr().out.replace(" of ", "/")


def test_a_changed_file_is_said_and_loads(
    best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "renamed.py"
    changed.write_text(CLASSES + "# changed\n")
    flags = ["--weights", best, "--include", "torchscript", "--imgsz", "64"]
    export.main([*flags, "--modules", str(changed)])
    out = capsys.readouterr().out
    assert out.count("warning: ") == 1
    assert f"{best}: my_classes.py has changed since the training (SHA-256 " in out


def test_an_interrupted_run_goes_on(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the file given again, whose path may be another one, weights end bit-identical."""
    original, calls = train.check_loss, []

    def kill_at(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        original(*arguments)

    monkeypatch.setattr(train, "check_loss", kill_at)
    with pytest.raises(SystemExit):
        train_own(trained, "cut", "--epochs", "2")
    command_again = f"last.pt --modules {trained / 'my_classes.py'}"
    assert f"continue with: python train.py --resume {trained}" in (out := capsys.readouterr().out)
    assert command_again in out
    assert f"--lint {trained / 'own.yaml'} --modules {trained / 'my_classes.py'}" in out
    monkeypatch.setattr(train, "check_loss", original)
    last = trained / "cut" / "weights" / "last.pt"
    forget()
    moved = tmp_path / "moved.py"
    moved.write_text(CLASSES)
    train.main(["--resume", str(last), "--modules", str(moved)])
    assert f"best.pt --modules {moved} --imgsz 64" in capsys.readouterr().out
    checkpoint = checkpoints.read(last)
    whole = checkpoints.read(trained / "run" / "weights" / "last.pt")
    assert all(torch.equal(checkpoint.state[key], whole.state[key]) for key in whole.state)
    assert checkpoint.config["modules"] == [str(moved)]


def test_no_file_makes_a_program_import_another(
    trained: Path, best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths in a checkpoint's own entries, in its flags and in a data set's YAML are only text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{CLASSES}")
    whole = checkpoints.read(trained / "run" / "weights" / "epoch0.pt")
    forged = replace(
        whole,
        config={**whole.config, "modules": [str(evil)]},
        modules=[{**whole.modules[0], "file": str(evil)}],
    )
    path = tmp_path / "forged.pt"
    checkpoints.save(forged, path)
    for flags in (["--weights", str(path)], ["--resume", str(path)]):
        with pytest.raises(UserError, match=r"of evil.py, which a checkpoint names but does not"):
            train.main(flags)
    data = yaml.safe_load((trained / "data.yaml").read_text())
    data["defaults"] = {"modules": [str(evil)]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=r"defaults: modules=.*no file may name code to import"):
        train.main(["--cfg", "models/yolov5n.yaml", "--data", str(tmp_path / "data.yaml")])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"no_file.py: cannot be read \(No such file"),
        ("x = (", "SyntaxError"),
        ("raise OSError('disk')", r"OSError: disk \(line 1\)"),
        ("x = 1", "defines no class that derives from torch.nn.Module"),
    ],
)
@pytest.mark.parametrize("program", [train, val, detect, export, command])
def test_a_faulty_file_is_one_line(
    tmp_path: Path,
    program: ModuleType,
    text: str | None,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "no_file.py"
    if text is not None:
        path.write_text(text)
    assert run_main(program.main, ["--modules", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --modules {path}: ") or text is None
    with pytest.raises(UserError, match=said):
        program.main(["--modules", str(path)])


def test_several_files(trained: Path, tmp_path: Path) -> None:
    """One flag with two files, or two flags."""
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    head, *rest = CLASSES.split("\n\nclass ")
    first.write_text(head + "\n\nclass " + "\n\nclass ".join(rest[:3]))
    second.write_text(head + "\n\nclass " + "\n\nclass ".join(rest[3:]))
    cfg = ["--cfg", str(trained / "own.yaml")]
    assert command.main([*cfg, "--modules", str(first), str(second)]) == 0
    forget()
    assert command.main([*cfg, "--modules", str(first), "--modules", str(second)]) == 0
    forget()
    with pytest.raises(UserError, match="Down"):
        command.main([*cfg, "--modules", str(first)])


def test_from_python(trained: Path, best: str, classes: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"add --modules my_classes.py"):
        YOLO(best)
    model = YOLO(str(trained / "own.yaml"), modules=classes)
    assert model.info()[1] > 0
    place = {"project": str(tmp_path), "name": "api", "plots": False, "cache": "no"}
    sizes = {"imgsz": 64, "batch": 4, "epochs": 1, "workers": 0, "device": "cpu"}
    model.train(data=str(trained / "data.yaml"), **sizes, **place)
    saved = checkpoints.read(model.weights)
    assert saved.config["modules"] == [classes]
    assert saved.modules[0]["classes"] == NAMES
    assert len(model(str(trained / "images" / "val"))) == 4
    with pytest.raises(UserError, match=r"val: modules=.*are imported when the model is made"):
        model.val(modules=classes)
    forget()
    assert YOLO(best, modules=[classes], attention="Mine@neck").names == {0: "bright", 1: "dark"}
    forget()
    assert hubconf.custom(best, modules=classes, device="cpu").names == {0: "bright", 1: "dark"}


def test_a_checkpoint_of_the_original_program(tmp_path: Path) -> None:
    """A pickled model of a fork loads with the file of its classes, which alone is imported."""
    path, file = tmp_path / "fork.pt", tmp_path / "forks.py"
    file.write_text(CLASSES.replace("nn.ReLU()", "nn.SiLU()"))
    use_modules(file)
    model = DetectionModel(copy.deepcopy(own_classes.GRAPH), names=["a", "b"]).eval()
    path.write_bytes(upstream_file(model))
    images = torch.rand(1, 3, 64, 64)
    expected = model.half().float()(images)[0]
    assert torch.equal(load_model(path, fuse=False)(images)[0], expected)
    forget()
    with pytest.raises(UserError, match=r"row 2: Block \(models.common.Block\): .*as --modules"):
        load_model(path)
