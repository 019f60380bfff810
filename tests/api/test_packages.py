"""A program's own packages `utils`, `models` … and this project's are imported side by side."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from api import packages
from utils.files import ROOT

NAME = "room_for_two"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of a program and of a project, each with a package of the same name."""
    program, project = tmp_path / "program", tmp_path / "project"
    for folder, module in ((program, "theirs"), (project, "ours")):
        (folder / NAME).mkdir(parents=True)
        (folder / NAME / "__init__.py").write_text(f"origin = {module!r}\n")
        (folder / NAME / f"{module}.py").write_text(f"value = {module!r}\n")
    monkeypatch.setattr(packages, "PACKAGES", (NAME,))
    monkeypatch.setattr(packages, "PROGRAMS", ())
    monkeypatch.syspath_prepend(str(program))
    yield program, project
    for name in [one for one in sys.modules if one.split(".")[0] == NAME]:
        del sys.modules[name]


def both_are_found() -> None:
    for module in ("theirs", "ours"):
        assert importlib.import_module(f"{NAME}.{module}").value == module


def test_an_own_package_that_was_imported_before_keeps_its_name(places):
    own = importlib.import_module(NAME)
    packages.make_room(places[1])
    assert sys.modules[NAME] is own
    assert own.origin == "theirs"
    both_are_found()


def test_an_own_package_that_is_imported_later_is_found_too(places):
    packages.make_room(places[1])
    assert sys.modules[NAME].origin == "ours"
    both_are_found()


def test_an_own_module_of_a_single_file_gets_room_too(places):
    program, project = places
    (program / NAME / "__init__.py").unlink()
    (program / NAME / "theirs.py").rename(program / f"{NAME}.py")
    (program / NAME).rmdir()
    assert importlib.import_module(NAME).value == "theirs"
    packages.make_room(project)
    assert importlib.import_module(f"{NAME}.ours").value == "ours"


def test_modules_of_one_name_are_a_conflict_in_one_line_that_says_to_rename(places):
    program, project = places
    (program / NAME / "ours.py").write_text("")
    importlib.import_module(NAME)
    with pytest.raises(packages.NameConflict, match=r"have room_for_two.ours; rename"):
        packages.make_room(project)


def test_an_own_program_of_the_name_of_ours_is_a_conflict(places, monkeypatch):
    monkeypatch.setattr(packages, "PROGRAMS", (NAME,))
    monkeypatch.setattr(packages, "PACKAGES", ())
    importlib.import_module(NAME)
    with pytest.raises(packages.NameConflict, match="rename your own room_for_two"):
        packages.make_room(places[1])


def test_a_project_without_its_folders_is_said(places, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", ("no_such_room",))
    with pytest.raises(packages.NameConflict, match="not complete"):
        packages.make_room(tmp_path)


def test_hub_models_run_beside_a_package_utils_of_the_program(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "__init__.py").write_text("OWN = 1\n")
    (tmp_path / "utils" / "own.py").write_text("VALUE = 2\n")
    program = (
        f"import utils, torch, numpy\nmodel = torch.hub.load({str(ROOT)!r}, 'yolov5n',"
        " pretrained=False, source='local')\nmodel(numpy.zeros((64, 64, 3), 'uint8'), size=64)\n"
        "from utils.own import VALUE\nprint(utils.OWN + VALUE)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["3"], 0), done.stderr
