"""Training with attention: NAM's penalty, and modules that start as the identity, from flag to
checkpoint.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml

import train
from models.weights.load import load_model
from tests.tiny import GRAPH, run_flags, write_data
from utils.checkpoint import read
from utils.errors import UserError
from utils.files import read_results


def run(folder: Path, attention: str, *more: str) -> Path:
    """Train the tiny graph with the module in SimAM's place, for two epochs unless more says
    otherwise.
    """
    graph = copy.deepcopy(GRAPH)
    graph["backbone"][4] = [-1, 1, attention, {}]  # type: ignore[index]
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    data = folder / "data.yaml"
    if not data.exists():
        write_data(folder)
    place = ["--project", str(folder), "--name", "run", "--exist-ok"]
    train.main(
        [*run_flags(path, data, "--cache", "no", "--noplots"), *place, "--epochs", "2", *more]
    )
    return folder / "run"


def scales(folder: Path) -> torch.Tensor:
    return read(folder / "weights" / "last.pt").state["model.3_NAM.Channel_Att.bn2.weight"].float()


def test_sparsity_shrinks_the_scales_and_has_its_column_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hyp.yaml").write_text("nominal_batch: 4\nwarmup_epochs: 0\nwarmup_iterations: 0\n")
    flags = ("--hyp", str(tmp_path / "hyp.yaml"), "--epochs", "4")
    plain = run(tmp_path, "NAM", *flags)
    assert "train/sparsity" not in (plain / "results.csv").read_text()
    free = scales(plain)
    pressed = run(tmp_path, "NAM", *flags, "--sparsity", "5")
    assert scales(pressed).abs().mean() < free.abs().mean() - 0.1
    rows = read_results(pressed / "results.csv")
    assert 5 * 16 > rows[0]["train/sparsity"] > rows[3]["train/sparsity"] > 0
    table = capsys.readouterr().out.partition("NAM scales near zero")[2]
    assert "model.3_NAM" in table


def test_sparsity_without_nam_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--sparsity 0.1: .*no NAM row"):
        run(tmp_path, "SimAM", "--sparsity", "0.1")
    with pytest.raises(UserError, match="--sparsity=-1"):
        run(tmp_path, "NAM", "--sparsity", "-1")


@pytest.mark.parametrize("attention", ["CBAM", "ACmix"])
def test_identity_goes_into_the_checkpoint_and_learns(tmp_path: Path, attention: str) -> None:
    folder = run(tmp_path, attention, "--attention-init", "identity")
    checkpoint = read(folder / "weights" / "last.pt")
    assert checkpoint.graph["attention_init"] == "identity"
    assert checkpoint.state[f"model.3_{attention}.alpha"] != 0
    model = load_model(folder / "weights" / "last.pt")
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_identity_of_no_attention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--attention-init identity: .* has no attention; add --attention"
    ):
        run(tmp_path, "Conv", "--attention-init", "identity")


def test_attention_by_name_goes_into_the_checkpoint(tmp_path: Path) -> None:
    """Two epochs from a plain checkpoint: the inserted graph and what its rows learnt are written,
    names and all.
    """
    plain = run(tmp_path, "SimAM", "--epochs", "1") / "weights" / "last.pt"
    kept = plain.rename(tmp_path / "plain.pt")
    more = ["--weights", str(kept), "--attention", "SE@head.P4", "CBAM:reduction=4@inside.C3"]
    checkpoint = read(
        run(tmp_path, "SimAM", *more, "--attention-init", "identity") / "weights" / "last.pt"
    )
    assert checkpoint.graph["backbone"][2][3][-1] == {
        "inside": "CBAM",
        "reduction": 4,
        "init": "identity",
    }
    assert checkpoint.graph["head"] == [
        [-1, 1, "SE", {"init": "identity"}],
        [[4, 6], 1, "Detect", ["nc", "anchors"]],
    ]
    assert "attention_init" not in checkpoint.graph
    assert checkpoint.config["attention"] == ["SE@head.P4", "CBAM:reduction=4@inside.C3"]
    assert checkpoint.state["model.4_SE.alpha"] != 0
    assert checkpoint.state["model.2.m.0.attention.alpha"] != 0
    model = load_model(tmp_path / "run" / "weights" / "last.pt")
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_attention_at_no_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--attention SE@neck.P9: .*has no place 'neck.P9'; it has neck, head, "
    ):
        run(tmp_path, "SimAM", "--attention", "SE@neck.P9")
