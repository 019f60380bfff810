"""YOLO within other programs: without a console, in a thread, and stopped by Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from api import YOLO
from api import yolo as module
from engine.training.run import Run
from utils.errors import UserError

QUICK = {"imgsz": 64, "batch": 2, "device": "cpu", "workers": 0, "plots": False}


def test_calls_work_without_a_console(weights, folder, monkeypatch):
    """As under pythonw, or in a service, where stdout and stderr are None."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    model = YOLO(weights, verbose=True)
    assert len(model(folder / "images" / "val", imgsz=64)) == 4
    assert model.val(**QUICK).box.map > 0


def test_training_in_a_thread_without_a_console(graph, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    done = []

    def work() -> None:
        done.append(YOLO(graph).train(data=folder / "data.yaml", epochs=1, **QUICK))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert len(done) == 1


def test_ctrl_c_saves_the_run_and_leaves_the_handlers_as_they_were(graph, folder, monkeypatch):
    """A notebook goes on after it: the weights are there, and the next Ctrl-C is its own."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    plan = module.plan

    def plan_and_stop(given: dict, changes: dict) -> Run:
        run = plan(given, changes)
        loader = run.setup.loaders[0]
        original = loader.set_epoch

        def set_epoch(epoch: int, first_batch: int = 0) -> None:
            original(epoch, first_batch)
            os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(loader, "set_epoch", set_epoch)
        return run

    monkeypatch.setattr(module, "plan", plan_and_stop)
    model = YOLO(graph)
    with pytest.raises(KeyboardInterrupt, match=r"the run is saved; train\(resume='.*last\.pt'\)"):
        model.train(data=folder / "data.yaml", epochs=3, **QUICK)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (model.save_dir / "weights" / "last.pt").is_file()
    model(folder / "images" / "val" / "000.png", imgsz=64, verbose=False)


def test_a_mistake_is_one_exception_of_one_line(graph, tmp_path):
    model = YOLO(graph)
    calls = [
        lambda: model.train(data="missing.yaml", epochs=1),
        lambda: model.predict("missing.jpg"),
        lambda: model.predict(tmp_path / "image.jpg", imgsz=-1),
        lambda: model.load("missing.pt"),
        lambda: YOLO("missing.pt"),
        lambda: model.export("nothing"),
    ]
    for call in calls:
        with pytest.raises(UserError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_size_that_is_no_multiple_of_the_stride_is_said(weights, folder, capsys):
    model, image = YOLO(weights), folder / "images" / "val" / "000.png"
    model(image, imgsz=(70, 64))
    said = "--imgsz 70x64 is not a multiple of the stride 32: taking 96x64"
    assert said in capsys.readouterr().out
    model(image, imgsz=70, verbose=False)
    model(image, imgsz=64)
    assert "multiple" not in capsys.readouterr().out
