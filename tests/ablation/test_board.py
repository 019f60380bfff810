"""What a running study tells."""

from __future__ import annotations

from ablation.board import Board
from ablation.study import make_arms, make_cells


def test_without_a_terminal_there_are_lines_and_no_bar(make_config, capsys):
    config = make_config()
    first, second, third, _ = make_cells(config, make_arms(config))
    (second.folder / "weights").mkdir(parents=True)
    (second.folder / "weights" / "last.pt").touch()
    third.folder.mkdir()
    (third.folder / "metrics.json").write_text('{"map": 0.2346}')
    board = Board(4, 1, 2)
    board.started(first)
    board.started(second)
    board.done(third)
    board.failed(first, "no disk")
    board.look([first])
    board.close()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "plain seed 0 starts",
        "A/A seed 1000 continues",
        "plain seed 1 is done: mAP50-95 23.46; 2 of 4 runs",
        "plain seed 0 failed, the others continue: no disk",
    ]
    assert err == ""


def test_the_bar_moves_with_the_epochs_of_running_cells(make_config):
    config = make_config()
    cell = make_cells(config, make_arms(config))[0]
    cell.folder.mkdir(parents=True)
    (cell.folder / "results.csv").write_text("epoch\n0\n")
    board = Board(4, 1, 2)
    board._bar.disable = False
    board._bar.refresh = lambda: None
    board._looked = 0.0
    board.look([cell])
    assert board._bar.n == 1.5
    board._bar.disable = True
