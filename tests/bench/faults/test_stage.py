"""The tiny trainings that the campaigns interrupt."""

from __future__ import annotations

import functools

import pytest
import yaml

from bench.faults.compare import unlike
from bench.faults.stage import SETTINGS, make_place, write_stage
from bench.faults.stops import BATCH, BATCHES
from bench.faults.victim import count_calls


def test_data_and_graphs_are_written(tmp_path):
    write_stage(tmp_path, images=2)
    assert len(list(tmp_path.glob("images/train/*.png"))) == 2
    assert len(list(tmp_path.glob("labels/val/*.txt"))) == 4
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["names"] == ["dark", "bright"]
    for flags in SETTINGS.values():
        assert (tmp_path / flags.split()[1].removeprefix("../")).is_file()


def test_a_place_starts_anew_until_it_has_a_checkpoint(tmp_path):
    place = make_place(tmp_path, "v5")
    assert place.next_words() == place.words()
    place.last.parent.mkdir(parents=True)
    place.last.touch()
    assert place.next_words() == ["--resume", "run/weights/last.pt"]
    assert make_place(tmp_path, "v5").folder != place.folder


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_two_trainings_in_forked_processes_end_alike(setting, tmp_path):
    write_stage(tmp_path)
    places = [make_place(tmp_path, setting) for _ in range(2)]
    calls = tmp_path / "calls"
    for place in places:
        ended = place.start(place.words(), functools.partial(count_calls, (BATCH,), calls)).wait()
        assert ended.status == 0, ended.err
    assert unlike(*(place.run for place in places)) == []
    assert len(calls.read_text().split()) == 2 * 3 * BATCHES
