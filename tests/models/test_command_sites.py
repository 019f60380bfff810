"""models/yolo.py as a command that puts attention in, lists places and writes graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.command import main
from models.graph.load import load_graph
from models.graph.sites import insert
from utils.errors import UserError, run_main


def test_a_graph_is_built_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = ["SimAM@neck", "CBAM@backbone.P5", "SE@inside C3"]
    out = tmp_path / "my.yaml"
    assert (
        run_main(
            main,
            [
                "--cfg",
                "models/yolov5n.yaml",
                "--attention",
                *specs,
                "--out",
                str(out),
                "--img",
                "64",
            ],
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "verdict: the graph is sound" in printed
    assert "warning" not in printed
    assert "{'inside': 'SE'}" in printed
    assert f"written to {out}" in printed
    assert out.read_text().startswith(
        "# models/yolov5n.yaml with SimAM@neck, CBAM@backbone.P5, SE@inside C3\n"
    )
    wanted = insert(load_graph("models/yolov5n.yaml"), specs)
    assert {**load_graph(out), "yaml_file": ""} == {**wanted, "yaml_file": ""}
    assert run_main(main, ["--cfg", str(out), "--img", "64"]) == 0
    assert "verdict: the graph is sound" in capsys.readouterr().out
    assert run_main(main, ["--cfg", str(out), "--out", str(out), "--img", "64"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_places_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cfg", "models/yolov8n.yaml", "--sites"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[13].split(maxsplit=3) == [
        "12",
        "C2f",
        "16",
        "neck.topdown.P4, every C2f, inside C2f",
    ]
    main(["--cfg", "models/yolov8n.yaml", "--sites", "--attention", "SE@neck.topdown.P4"])
    assert capsys.readouterr().out.splitlines()[14].split(maxsplit=3)[1:] == [
        "SE",
        "16",
        "neck.topdown.P4, every SE",
    ]


@pytest.mark.parametrize("flags", [["--attention", "SE@neck"], ["--out", "x.yaml"], ["--sites"]])
def test_flags_of_one_graph_do_not_go_with_all(flags: list[str]) -> None:
    with pytest.raises(UserError, match=f"{flags[0]}: is for one graph"):
        main(["--all", *flags])
