"""The recipes of CONTRIBUTING.md, applied as they are printed to a copy of the tree.

A recipe prints each place as `path`, a few words and a colon, then a block: python for a new file,
diff for an edit.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from utils.files import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACE = re.compile(r"^`([\w./]+)`[^`\n]*:\n\n```(python|diff)\n(.*?)^```", re.M | re.S)
COPIED = ("ablation", "api", "data", "engine", "models", "utils", "tests")


class Place(NamedTuple):
    """A file that a recipe writes (kind "python") or edits (kind "diff")."""

    path: str
    kind: str
    text: str


def read_recipes() -> dict[str, list[Place]]:
    """Title -> places of every recipe, in their order."""
    (chapter,) = re.findall(r"^## Recipes\n(.*?)^## ", TEXT, re.M | re.S)
    titles_and_texts = re.split(r"^### (.*)\n", chapter, flags=re.M)[1:]
    pairs = zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True)
    return {title: [Place(*found) for found in PLACE.findall(text)] for title, text in pairs}


RECIPES = read_recipes()
PATHS = [place.path for places in RECIPES.values() for place in places]
CHECKS = """
import sys
from tests import test_architecture
tests = [one for one in vars(test_architecture).values() if hasattr(one, "check")]
done = [(test.check(name), name) for test in tests for name in sys.argv[1:] if name in test.names]
assert {name for _, name in done} == {name for name in sys.argv[1:] if name[:6] != "tests/"}, done
"""


def apply_diff(source: str, diff: str) -> str:
    """The source after a diff whose hunks, parted by lines of @@, each fit in one place."""
    for hunk in diff.removesuffix("\n").split("\n@@\n"):
        lines = hunk.split("\n")
        old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
        assert source.count(old) == 1, f"{source.count(old)} places for this hunk:\n{hunk}"
        source = source.replace(old, new)
    return source


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and tests with all recipes applied."""
    root = tmp_path_factory.mktemp("recipes")
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "golden", "*.npz")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, root)
    for path, kind, text in (place for places in RECIPES.values() for place in places):
        file = root / path
        assert file.exists() == (kind == "diff"), f"{path}: is it new, or an edit?"
        file.write_text(apply_diff(file.read_text(), text) if kind == "diff" else text)
    return root


def run_in(tree: Path, *command: str) -> None:
    """Run Python in the copy, and fail with its output if it fails."""
    run = subprocess.run(
        [sys.executable, *command], cwd=tree, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]


def test_the_table_counts_the_places_of_each_recipe() -> None:
    rows = re.findall(r"^\| \[([\w ]+)\]\(#([\w-]+)\) \| (\d+) \| (\d+) \|$", TEXT, re.M)
    assert [title.capitalize() for title, *_ in rows] == [title.capitalize() for title in RECIPES]
    for title, anchor, new, edited in rows:
        assert anchor == title.replace(" ", "-")
        kinds = [place.kind for place in RECIPES[title[0].upper() + title[1:]]]
        assert (kinds.count("python"), kinds.count("diff")) == (int(new), int(edited))


def test_the_tests_of_all_recipes_pass(tree: Path) -> None:
    tests = [path for path in PATHS if path.startswith("tests/")]
    assert len(tests) == len(RECIPES)
    run_in(tree, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests)


def test_recipes_keep_to_the_architecture(tree: Path) -> None:
    """By every check of tests/test_architecture.py that looks at one file."""
    run_in(tree, "-c", CHECKS, *(path for path in PATHS if path.endswith(".py")))


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_recipes_are_formatted(tree: Path) -> None:
    run_in(tree, "-m", "ruff", "check", "--no-cache", *PATHS)
    run_in(tree, "-m", "ruff", "format", "--no-cache", "--check", *PATHS)
