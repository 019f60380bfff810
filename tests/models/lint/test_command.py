"""The command --lint: what it prints, its exit status, and the corrected copies of --fix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from models.command import main
from models.lint.command import run_lint
from models.lint.fix import lint
from tests.models.lint.test_rules import FOLDER, LEFT
from utils.errors import UserError, run_main
from utils.files import ROOT

MANY = "yolov8n_danet_nothing_moved"
FAST = (
    MANY,
    "yolov5s_ca_behind_each_c3",
    "yolov8n_se_three_stages",
    "yolov8_s_eca",
    "yolov5s_bins",
)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A copy of a file that has every kind of wrong reference."""
    return Path(shutil.copy(FOLDER / f"{MANY}.yaml", tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[] if path.stem in FAST else pytest.mark.slow)
        for path in sorted(FOLDER.glob("*.yaml"))
    ],
)
def test_a_corrected_copy_keeps_only_what_no_rule_fixes(name: str, tmp_path: Path) -> None:
    source = Path(shutil.copy(FOLDER / f"{name}.yaml", tmp_path))
    before = source.read_bytes()
    assert run_lint([str(source)], fix=True) == 1
    assert source.read_bytes() == before
    copies = [path for path in tmp_path.iterdir() if path != source]
    if not copies:
        assert LEFT[name]
        return
    (copy,) = copies
    assert copy.stem.endswith("_fixed")
    assert [finding.rule for finding in lint(copy)] == LEFT.get(name, [])
    comments = [line.partition("#")[2] for line in before.decode().splitlines() if "(" not in line]
    kept = copy.read_text()
    assert all(
        any(word in kept for word in comment.split()) for comment in comments if "join" in comment
    )


def test_what_is_printed(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(main, ["--lint", str(shared), "models/yolov8s_CBAM.yaml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        f"{shared}:22: row 12: Concat reads row 6, Conv: the number was not moved when row 3,"
        " DoubleAttentionLayer, came in; meant: row 7, C2f [shift]" in lines
    )
    assert lines[-1] == "models/yolov8s_CBAM.yaml: nothing found"
    assert lines[-2].startswith(f"summary: {shared.name}: ")
    assert "row 12 (Concat) reads 6 instead of 7" in lines[-2]
    assert run_main(main, ["--lint", "models/yolov8s_CBAM.yaml"]) == 0


def test_only_what_is_wrong_changes_in_the_text(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows line ends, comments and spelling stay; only lines with a finding differ."""
    shared.write_bytes(shared.read_bytes().replace(b"\n", b"\r\n"))
    assert (
        run_main(
            main, ["--lint", str(shared), "--fix", "--out", str(shared.with_name("better.yaml"))]
        )
        == 1
    )
    old = shared.read_bytes().split(b"\r\n")
    new = shared.with_name("better.yaml").read_bytes().split(b"\r\n")
    differing = {number for number, (a, b) in enumerate(zip(old, new, strict=True), 1) if a != b}
    assert differing == {finding.line for finding in lint(shared) if finding.fix}
    printed = capsys.readouterr().out
    assert "row 12: from 6 -> 7" in printed
    assert "row 3: args [128,1] -> {}" in printed
    assert "comment # 9 -> # 10" in printed
    assert "nothing is left to fix" in printed


def test_no_file_is_overwritten(shared: Path) -> None:
    run_lint([str(shared)], fix=True)
    first = shared.with_name(f"{MANY}_fixed.yaml")
    run_lint([str(shared)], fix=True)
    assert sorted(shared.parent.iterdir()) == sorted(
        [shared, first]
    )  # the same text does not need a second file
    first.write_text("mine")
    run_lint([str(shared)], fix=True)
    assert first.read_text() == "mine"
    assert shared.with_name(f"{MANY}_fixed2.yaml").exists()
    for target in (shared, first):
        with pytest.raises(UserError, match="exists already"):
            run_lint([str(shared)], fix=True, out=str(target))


def test_rows_that_share_text_are_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alias stands for two rows. Changing its text would change both, so all is spelt out."""
    content = yaml.safe_load((FOLDER / "yolov8n_both_channels.yaml").read_text())
    content["head"][5][3] = content["head"][2][3]
    content["head"][2] = content["head"][5] = [-1, 3, "C2f", [512, 512]]
    content["head"][5] = content["head"][2]
    file = tmp_path / "yolov8n_alias.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    assert "&id" in file.read_text()
    assert run_lint([str(file)], fix=True) == 1
    assert "nothing is left to fix" in capsys.readouterr().out
    assert lint(tmp_path / "yolov8n_alias_fixed.yaml") == []


def test_block_style_is_fixed_in_place_too(tmp_path: Path) -> None:
    content = yaml.safe_load((FOLDER / "yolov8n_danet_nothing_moved.yaml").read_text())
    file = tmp_path / "yolov8n_block.yaml"
    file.write_text("# mine\n" + yaml.safe_dump(content, sort_keys=False, default_flow_style=False))
    assert run_lint([str(file)], fix=True) == 1
    assert lint(tmp_path / "yolov8n_block_fixed.yaml") == []
    assert (tmp_path / "yolov8n_block_fixed.yaml").read_text().startswith("# mine\n")


def test_unreadable_files_and_contradictory_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("nc: [")
    (tmp_path / "list.yaml").write_text("- 1")
    for name in ("bad.yaml", "list.yaml", "none.yaml"):
        assert run_main(main, ["--lint", str(tmp_path / name), "models/yolov8s_CBAM.yaml"]) == 2
        printed = capsys.readouterr()
        assert "models/yolov8s_CBAM.yaml: nothing found" in printed.out
        assert name in printed.err
    for flags in (
        ["--fix"],
        ["--lint", "a", "b", "--fix", "--out", "c"],
        ["--lint", "a", "--out", "c"],
        ["--lint", "a", "--all"],
    ):
        assert run_main(main, flags) == 2


def test_a_graph_that_cannot_be_built_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "yolov8n.yaml").write_text("nc: 80\nbackbone: 3\n")
    assert run_main(main, ["--lint", str(tmp_path / "yolov8n.yaml"), "--fix"]) == 1
    printed = capsys.readouterr().out
    assert "head: is missing" in printed
    assert "no file was written" in printed
    text = (
        (ROOT / "models" / "yolov8.yaml").read_text().replace("SPPF, [1024, 5]", "SPPQ, [1024, 5]")
    )
    (tmp_path / "yolov8n.yaml").write_text(text)
    assert run_main(main, ["--lint", str(tmp_path / "yolov8n.yaml")]) == 1
    printed = capsys.readouterr().out
    assert "yolov8n.yaml:20: row 9: SPPQ" in printed
    assert "summary: yolov8n.yaml: 1 finding (python models/yolo.py --lint)" in printed


def test_a_neck_of_its_own_is_moved_into_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "models" / "yolov8.yaml").read_text()
    neck = text.replace("head:", "neck:").replace("  - [[15, 18, 21]", "head:\n  - [[15, 18, 21]")
    (tmp_path / "yolov8n.yaml").write_text(neck)
    assert run_main(main, ["--lint", str(tmp_path / "yolov8n.yaml")]) == 1
    printed = capsys.readouterr().out
    assert "neck: is a third list of rows; move them to the start of head" in printed
    assert "nothing reads this key" not in printed
    assert run_main(main, ["--cfg", str(tmp_path / "yolov8n.yaml")]) == 2
