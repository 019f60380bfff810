"""Files that a pattern with wildcards stands for."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from data.sources import patterns
from data.sources.patterns import matching
from utils.errors import UserError

PATTERNS = ("*.jpg", "**", "**/*.jpg", "a/**/*.jpg", "*/b/?.jpg", "a/[xy].jpg", ".*/*", "a/**/b/*")


def everything(path: str) -> bool:
    return True


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("0.jpg", "a/x.jpg", "a/b/y.jpg", "a/b/c/z.jpg", "a/.hidden.jpg", ".h/k.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("relative", [False, True])
def test_a_pattern_finds_what_glob_finds(
    tree: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, relative: bool
) -> None:
    monkeypatch.chdir(tree)
    text = pattern if relative else str(tree / pattern)
    known = {os.path.normpath(path) for path in glob.glob(text, recursive=True)}
    found = {os.path.normpath(path) for path in matching(text, everything)}
    # glob counts the folder itself among the matches of `**`.
    assert found | {os.path.normpath(text.removesuffix("**"))} >= known >= found
    assert found


def test_a_link_that_leads_back_is_followed_no_second_time(tree: Path) -> None:
    (tree / "a" / "back").symlink_to(tree / "a")
    (tree / "a" / "self").symlink_to("self")
    found = matching(str(tree / "a" / "**" / "*.jpg"), everything)
    assert [Path(path).name for path in found] == ["z.jpg", "y.jpg", "x.jpg"]


def test_a_pattern_that_searches_without_end_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "MOST_ENTRIES", 5)
    with pytest.raises(UserError, match=r"--source .*: 0 of 6 names fit, and the search was ended"):
        matching(str(tree / "**" / "*.none"), everything, "--source ")
    assert len(matching(str(tree / "**" / "*.jpg"), everything)) == 4  # what is found pays for it


def test_two_stars_in_a_row_look_at_a_folder_once(tree: Path) -> None:
    pattern = "/".join([str(tree), *["**"] * 30, "*.jpg"])
    assert len(matching(pattern, everything)) == 4
