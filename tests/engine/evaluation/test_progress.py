"""The progress bar of an evaluation: its heading is printed once wherever the output goes."""

from engine.evaluation.progress import with_progress_bar
from utils.tables import val_header


def test_heading_is_printed_once_and_batches_pass(capsys):
    assert list(with_progress_bar(["a", "b"], quiet=False)) == ["a", "b"]
    out, err = capsys.readouterr()
    assert out.count(val_header()) == 1
    assert err == ""


def test_quiet_prints_nothing(capsys):
    assert list(with_progress_bar(["a"], quiet=True)) == ["a"]
    assert capsys.readouterr() == ("", "")
