"""The flags of a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.tuning.settings import TUNE_LINE, TuneConfig
from utils.cli import build
from utils.errors import UserError


def config(*words: str) -> TuneConfig:
    return build(TuneConfig, TUNE_LINE.read(list(words)))


def test_the_database_is_in_the_folder_of_the_search_unless_it_is_named() -> None:
    usual = config("--project", "p", "--name", "n")
    assert usual.folder == Path("p/n")
    assert usual.database_file == Path("p/n/study.db").absolute()
    assert usual.database == f"sqlite:///{usual.database_file}"
    assert config("--storage", "a.db").database_file == Path("a.db").absolute()
    other = config("--storage", "postgresql://u:p@host/db")
    assert (other.database, other.database_file) == ("postgresql://u:p@host/db", None)


def test_a_trial_has_a_fifth_of_the_epochs_before_it_may_end() -> None:
    assert [config("--epochs", text).first_pruned for text in ("50", "3")] == [10, 1]
    assert config("--prune-after", "7").first_pruned == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trials", "0"), "--trials=0: must be 1 to"),
        (("--prune-after", "-1"), "--prune-after=-1: must not be negative"),
        (("--name", "a/b"), "--name 'a/b': must be the name of a folder"),
        (("--resume",), "--resume: is not needed; the same command"),
        (("--exist-ok",), "--exist-ok: is not needed"),
        (("--evolve", "3"), "--evolve: is what this program does"),
        (("--epochs", "0"), "--epochs=0"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as error:
        config(*words)
    assert str(error.value).startswith(said)
