"""All campaigns in one command: it holds only if each does."""

from __future__ import annotations

import types

import pytest

from bench.faults import __main__ as everything


@pytest.fixture
def started(monkeypatch):
    """The commands that would have been started; the campaign named disk does not hold."""
    commands = []

    def run(command, cwd):
        commands.append(command[2:])
        return types.SimpleNamespace(returncode=int(command[2].endswith("disk")))

    monkeypatch.setattr(everything.subprocess, "run", run)
    return commands


def test_a_campaign_that_fails_fails_all(started, capsys):
    assert everything.main(["kills", "stops"]) == 0
    assert everything.main(["kills", "disk"]) == 1
    assert started[0] == ["bench.faults.kills"]
    assert "disk" in capsys.readouterr().out


def test_quick_is_a_tenth(started):
    everything.main(["kills", "disk", "--quick"])
    assert [command[1:] for command in started] == [["--count", "20"], ["--count", "3"]]


def test_an_unknown_campaign_is_refused(capsys):
    with pytest.raises(SystemExit):
        everything.main(["floods"])
    assert "no such campaign: floods" in capsys.readouterr().err
