"""Functions in processes of their own: how they end is told as it was."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from bench.faults.common import (
    Child,
    Ended,
    adopt_orphans,
    count_texts,
    measured,
    run_campaign,
    scratch_folder,
    spread,
    survivors,
    tally,
)
from utils.errors import UserError


def refuse():
    raise UserError("a.yaml: no such file; check the path")


def fail():
    print("so far")
    raise KeyError("x")


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_function_that_ends_well_has_status_0_and_its_output():
    ended = measured(lambda: print("done"), 10, 100)
    assert (ended.status, ended.out, ended.err, ended.limit) == (0, "done\n", "", "")
    assert ended.exception == ""


def test_a_refusal_is_one_line_and_status_2():
    ended = measured(refuse, 10, 100)
    assert ended.status == 2
    assert ended.messages == ["error: a.yaml: no such file; check the path"]
    assert ended.exception == ""


def test_a_traceback_is_noticed_and_its_last_line_told():
    ended = measured(fail, 10, 100)
    assert ended.status == 1
    assert ended.exception == "KeyError: 'x'"
    assert ended.out == "so far\n"


def test_a_traceback_of_one_of_several_processes_is_noticed_and_that_of_their_launcher_is_not():
    prefixed = "[rank1]: Traceback (most recent call last):\n[rank1]:   x\n[rank1]: OSError: a\n"
    assert Ended(1, "", prefixed, 0.0).exception == "OSError: a"
    logged = "E1129 api.py:836] Traceback (most recent call last):\nE1129 api.py:836] OSError: a\n"
    assert Ended(1, "", logged, 0.0).exception == ""


def test_a_deadly_signal_has_the_status_that_a_shell_shows():
    assert measured(stop, 10, 100).status == 143


def test_a_function_beyond_the_time_is_killed():
    ended = measured(lambda: time.sleep(60), 0.2, 100)
    assert (ended.limit, ended.status) == ("time", 137)
    assert ended.seconds < 10


def test_a_function_beyond_the_memory_is_killed():
    def hoard():
        kept = [bytearray(20_000_000) for _ in range(10)]
        time.sleep(10 + len(kept))

    ended = measured(hoard, 8, 100)
    assert ended.limit == "memory"
    assert ended.peak_mb > 100


def test_the_peak_of_memory_is_told_even_if_it_is_short():
    ended = measured(lambda: len(bytearray(200_000_000)) * 0, 10, 1000)
    assert 190 < ended.peak_mb < 300


def test_progress_bars_are_no_messages():
    text = "\r  0%|          | 0/2 [00:00<?, ?it/s]\r100%|███| 2/2 [00:00<00:00, 80.94it/s]\na\n"
    assert Ended(0, "", text, 0.0).messages == ["a"]


def test_output_that_cannot_be_flushed_is_a_refusal_in_a_line(tmp_path):
    ended = Child(lambda: print("lost"), tmp_path, "/dev/full").wait(10)
    assert ended.status == 2
    assert "No space left" in ended.err


def test_processor_time_does_not_count_what_is_waited():
    def work():
        time.sleep(0.3)
        print(sum(range(3_000_000)))

    ended = measured(work, 10, 1000)
    assert 0.01 < ended.busy_s < ended.seconds - 0.25


def test_an_orphan_is_found_and_ended():
    def task(_):
        def leave():
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            os._exit(0)  # without waiting

        with scratch_folder() as logs:
            Child(leave, logs).wait(10)
        return survivors(0.1), survivors(0.1)

    assert list(spread_here(task)) == [(1, 0)]


def spread_here(task):
    """Call task in a fork, which adopts orphans, so that this process need not."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        adopt_orphans()
        os.write(writer, repr(task(None)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        found = file.read()
    yield tuple(int(word) for word in found.strip("()").split(","))


def test_tasks_are_spread_over_processes():
    assert sorted(spread(abs, [-3, 2, -1], 2)) == [1, 2, 3]


def test_a_campaign_holds_only_if_all_rows_do(capsys):
    def campaign(count, seed, jobs):
        return [{"case": count, "held": True}, {"case": seed, "held": seed == 0}]

    assert run_campaign(campaign, 7, []) == 0
    assert run_campaign(campaign, 7, ["--seed", "1"]) == 1
    printed = capsys.readouterr().out
    assert "case" in printed
    assert "False" in printed


def test_faults_are_counted_once_for_each_case():
    cases = [["lost: a", "lost: b"], [], ["hung: c"]]
    assert tally(cases, ("lost", "hung", "words")) == {
        "lost": 1,
        "hung": 1,
        "words": 0,
        "held": False,
    }
    assert tally([[], []], ("lost",))["held"]
    assert not tally([["unknown: x"]], ("lost",))["held"]
    assert count_texts(["a", "b", "b"]) == ["2 × b", "1 × a"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_scratch_folder_is_removed_after_an_error():
    with pytest.raises(KeyError), scratch_folder() as folder:
        raise KeyError
    assert not folder.exists()
