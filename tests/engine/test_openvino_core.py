"""Signals reach a process whose OpenVINO models have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.engine.exported.files import write_onnx
from utils.files import ROOT

MODELS = """
import faulthandler, signal, sys
import numpy as np
from engine.openvino_core import shared_core

faulthandler.enable()  # without it, Python gives the thread no stack for signals
signal.signal(signal.SIGINT, lambda *_: print("caught", flush=True))
first, second = (shared_core().compile_model(sys.argv[1], "CPU") for _ in range(2))
for model in (first, second):
    model([np.zeros((1, 3, 64, 64), np.float32)])
del first, model
del second
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_ctrl_c_after_two_models_is_caught(tmp_path: Path) -> None:
    """With a runtime for each model it ended the process on processors with AMX."""
    command = [sys.executable, "-c", MODELS, str(write_onnx(tmp_path / "best.onnx"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "caught\n"), run.stderr
