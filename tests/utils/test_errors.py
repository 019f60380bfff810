"""Exit statuses: a user's mistake is one line and 2, a signal has its own, our own faults keep
their traceback.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from utils.errors import UserError, run_main
from utils.files import ROOT


def raising(error: BaseException):
    def main(argv: list[str] | None) -> None:
        raise error

    return main


def test_success_hands_the_arguments_on(capsys):
    seen = []
    assert run_main(seen.append, ["--epochs", "3"]) == 0
    assert seen == [["--epochs", "3"]]
    assert capsys.readouterr() == ("", "")


def test_a_users_mistake_is_one_line_on_stderr(capsys):
    assert run_main(raising(UserError("data.yaml: no key `names`; add one")), []) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: data.yaml: no key `names`; add one\n"
    assert captured.out == ""


def test_interrupt_has_the_shells_status(capsys):
    assert run_main(raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_our_own_fault_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(raising(ZeroDivisionError()), [])


def test_a_reader_that_goes_away_has_the_shells_status():
    program = "\n".join(
        [
            "import sys",
            "from utils.errors import run_main",
            "sys.exit(run_main(lambda argv: [print('line') for _ in range(100000)], []))",
        ]
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(60) == 141
    assert child.stderr is not None
    assert child.stderr.read() == b""
    child.stderr.close()


def test_a_value_of_a_million_characters_is_cut(capsys):
    assert run_main(raising(UserError("x: " + "y" * 10**6)), []) == 2
    assert len(capsys.readouterr().err) < 2100
