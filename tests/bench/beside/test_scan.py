"""The scan is of all images, by both programs, and never from a cache."""

from __future__ import annotations

import pytest

from bench.beside import scan
from bench.beside.bench import Bench
from bench.beside.programs import OURS, YOLOV5, make_programs
from data.synthetic.shapes import generate
from utils.errors import UserError


@pytest.fixture
def bench(tmp_path):
    generate(tmp_path / "made", train=3, val=1)
    (tmp_path / "mine.yaml").write_text(
        f"path: {tmp_path / 'made'}\ntrain: images/train\nval: images/val\nnames: [a, b, c, d, e]\n"
    )
    programs = make_programs({YOLOV5: "python"}, tmp_path, 1, "")
    return Bench(
        programs, "bf16", str(tmp_path / "mine.yaml"), [], {}, 2, scanned=7, say=lambda line: None
    )


def test_our_program_scans_the_links(bench):
    root = bench.programs[OURS].home / "scan"
    root.mkdir(parents=True)
    scan.link_images(bench.data, 7, root)
    bench.scanned = 8
    with pytest.raises(UserError, match="found 7 of 8"):
        scan.scan_once(bench, root, bench.programs[OURS])


def test_each_turn_is_without_a_cache(bench, monkeypatch):
    turns = []

    def last_line(program, name, words):
        root = bench.programs[OURS].home / "scan"
        assert not list(root.rglob("*.cache"))
        (root / "labels.cache").touch()
        turns.append((program.name, program.environment.get("PYTHONPATH") is not None))
        return "0.5 0.25 7"

    monkeypatch.setattr(bench, "last_line", last_line)
    wall, cores = scan.scan_part(bench)
    assert turns == [(OURS, True)] + [(OURS, True), (YOLOV5, False)] * 2  # the first warms up
    assert (wall.what, wall.ours, cores.theirs) == ("scan of 7 images", [0.5] * 2, [0.25] * 2)
    del bench.programs[YOLOV5]
    assert list(scan.scan_part(bench)) == []
