"""Exit statuses: a user's mistake is one line and 2, a signal has its own, our own faults keep
their traceback.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from utils.errors import UserError, run_main
from utils.files import ROOT
from utils.signals import StopRequested


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


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "a\x1b.txt"), r"a\x1b.txt: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device; free some space"),
        (UserError("rtsp://u:S3CRET@h/x?S3CRET: is gone"), "rtsp://h/x"),
    ],
)
def test_a_fault_of_the_environment_is_one_line(capsys, error, line):
    assert run_main(raising(error), []) == 2
    captured = capsys.readouterr().err
    assert captured.startswith(f"error: {line}")
    assert captured.count("\n") == 1
    assert "S3CRET" not in captured


def test_a_signal_is_not_hidden_by_an_output_that_is_gone(capsys):
    def main(argv: list[str] | None) -> None:
        try:
            raise StopRequested(129)
        finally:
            raise OSError(5, "Input/output error")

    assert run_main(main, []) == 129
    assert capsys.readouterr().err == "stopped: the terminal was closed\n"


def test_an_error_of_the_system_without_a_file_keeps_its_traceback():
    with pytest.raises(OSError, match="Invalid argument"):
        run_main(raising(OSError(22, "Invalid argument")), [])


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


def test_a_gpu_without_memory_is_said_shortly_and_with_the_programs_own_flags(capsys):
    facts = "GPU 0 has a total capacity of 15.77 GiB of which 1.00 GiB is free"
    error = torch.OutOfMemoryError(f"CUDA out of memory. {facts}. Process 7 has 9 GiB.\nSee x")
    assert run_main(raising(error), [], lower="--imgsz") == 2
    assert capsys.readouterr().err == (
        f"error: the memory is too small (CUDA out of memory. {facts}); use a smaller --imgsz\n"
    )
    for words in ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "not enough memory: you tried to"):
        assert run_main(raising(RuntimeError(words))) == 2
    with pytest.raises(RuntimeError, match="shape"):
        run_main(raising(RuntimeError("shape")))


@pytest.mark.parametrize(
    "allocate", [lambda: torch.zeros(10**15), lambda: torch.zeros(10**10, 10**10)]
)
def test_memory_that_there_is_not_is_one_line(capsys, allocate):
    assert run_main(lambda argv: allocate()) == 2
    line = capsys.readouterr().err
    assert line.startswith(
        ("error: the memory is too small (DefaultCPUA", "error: the memory is too small (Storage")
    )
    assert line.count("\n") == 1
