"""The programs of examples/ run, and print what examples/README.md says that they print."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import blocks, read
from tests.notebooks import code_cells, run_notebook, source
from tests.run_documents import copy_tree, environment, unlike
from utils.files import ROOT

FOLDER = ROOT / "examples"
LIST = read(FOLDER / "README.md")
COMPANIONS = ("callbacks_comet", "callbacks_mlflow", "callbacks_optuna", "callbacks_wandb")
RUN = ("tutorial_to_verdict", "own_data_from_voc", "own_module", "video")
NOTEBOOK = FOLDER / "compare_attention.ipynb"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, which the examples write into."""
    return copy_tree(tmp_path_factory.mktemp("examples") / "tree")


def shown_for(file: str) -> str:
    """The text block below an example's title in the list; its lines are what it prints."""
    sections = re.split(r"^## ", LIST, flags=re.M)
    (section,) = (one for one in sections if f"`{file}`" in one.partition("\n")[0])
    (block,) = (one.text for one in blocks(section) if one.language == "text")
    return block


def test_every_example_says_what_it_shows() -> None:
    for file in (*(f"{name}.py" for name in RUN), NOTEBOOK.name):
        assert len(shown_for(file).splitlines()) > 2
    for path in FOLDER.glob("*.py"):
        assert len(ast.get_docstring(ast.parse(read(path))) or "") > 60, path.name
        assert f"`{path.name}`" in LIST, f"{path.name}: not in examples/README.md"
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == {*RUN, *COMPANIONS, "sahi_slices", "steps", "my_attention"}
    for name in RUN:
        assert f"python examples/{name}.py" in read(FOLDER / f"{name}.py")


def test_the_notebook_is_plain_python_with_its_outputs_stored() -> None:
    cells = code_cells(NOTEBOOK)
    for cell in cells:
        ast.parse(source(cell))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    assert "CoordAttention" in printed
    assert str(Path.home()) not in printed
    assert "/tmp" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_an_example_runs(tree: Path, name: str) -> None:
    run = subprocess.run(
        [sys.executable, f"examples/{name}.py"],
        cwd=tree,
        env=environment(tree),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-3000:]
    assert unlike(shown_for(f"{name}.py"), output) == []


@pytest.mark.slow
def test_both_ways_to_voc_labels_give_one_score(tree: Path) -> None:
    """What that example claims, from the files that it leaves."""
    folder = tree / "runs/examples/voc"
    if not folder.is_dir():
        pytest.skip("examples/own_data_from_voc.py has not run in this session")
    as_they_are, converted = (
        json.loads(read(folder / name / "metrics.json")) for name in ("val-voc", "val-yolo")
    )
    assert as_they_are["map"] > 0
    assert as_they_are["map"] == pytest.approx(converted["map"], rel=1e-3)


@pytest.mark.slow
def test_the_notebook_runs(tree: Path) -> None:
    output = run_notebook(tree / "examples" / NOTEBOOK.name)
    assert unlike(shown_for(NOTEBOOK.name), output) == []
    assert (tree / "runs/examples/compare/forest.png").stat().st_size > 5000
