"""`python -m models.attention`: what it measures, what it refuses, and its table."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.attention._registry import ATTENTION
from models.costs import glance, modules
from models.costs.glance import GlanceConfig, main
from models.costs.modules import bytes_kept_by, counted, gate, smallest_side
from utils.errors import run_main


class Halving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


class Squaring(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


def test_counts_by_hand() -> None:
    x = torch.randn(2, 8, 10, 10)
    size = 4 * x.numel()
    assert bytes_kept_by(Squaring(), x) == size  # twice the same storage
    assert bytes_kept_by(nn.Sigmoid(), x) == size  # its output, which outlives the call
    assert bytes_kept_by(Halving(), x) == 0
    assert bytes_kept_by(nn.Conv2d(8, 8, 1), x) == size  # the weight is there anyway
    flops, moved = counted(nn.Conv2d(8, 4, 1, bias=False), x)
    assert flops * 1e9 == pytest.approx(2 * 2 * 100 * 8 * 4)
    assert moved * 1e6 == pytest.approx(size * 1.5 + 4 * 32)
    mean, spread = gate(Halving(), x)
    assert (mean, spread) == (pytest.approx(0.5), pytest.approx(0, abs=1e-6))


def test_smallest_side_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reflecting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + nn.functional.pad(x, (3, 3, 3, 3), mode="reflect").mean()

    class Undefined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / (x - x.mean((2, 3), keepdim=True))

    for kind, side in ((Reflecting, 4), (Undefined, 2), (Halving, 1)):
        monkeypatch.setattr(modules, "build_attention", lambda name, channels, kind=kind: kind())
        assert smallest_side("any", 4) == side


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "ROUNDS", 2)
    main(["--channels", "16", "--size", "6", "--batch", "2", "--device", "cpu"])
    printed = capsys.readouterr().out.splitlines()
    rows = printed[2 : printed.index("")]
    assert {row.split()[0] for row in rows} == {kind.__name__ for kind in ATTENTION.values()}
    assert {len(line) for line in (printed[0], *rows)} == {len(printed[0])}
    times = [float(row.split()[5]) for row in rows]
    assert times == sorted(times)
    simam = next(row for row in rows if row.startswith("SimAM ")).split()
    assert simam[1] == "0"
    assert simam[9] == "1"
    assert "2x16x6x6" in printed[-1]
    assert "2 rounds" in printed[-1]


def test_a_width_that_a_module_refuses_is_a_line_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Even(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            if channels % 2:
                raise ValueError(f"channels={channels}: must be even")

        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    monkeypatch.setattr(glance, "ROUNDS", 1)
    kinds = {"Even": Even, "SimAM": ATTENTION["SimAM"]}
    monkeypatch.setattr(glance, "ATTENTION", kinds)
    monkeypatch.setattr("models.attention.ATTENTION", kinds)
    main(["--channels", "3", "--size", "2", "--batch", "1", "--device", "cpu"])
    printed = capsys.readouterr().out
    assert "Even: not at 3 channels: channels=3: must be even" in printed
    assert "\nSimAM " in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--channels", "0"], "--channels=0: must be 1 to 8192"),
        (["--size", "-1"], "--size=-1"),
        (["--batch", "2000"], "--batch=2000"),
        (["--channels", "many"], "--channels"),
        (["--batch", "1024", "--size", "160"], "one map of this shape takes 25.0 GiB"),
        (["--device", "tpu"], "--device tpu"),
        (["--chanels", "8"], "--chanels"),
    ],
)
def test_refused_flags(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(main, flags) == 2
    assert words in capsys.readouterr().err


def test_shape_and_size_in_bytes() -> None:
    assert GlanceConfig().shape == (8, 256, 40, 40)
    assert GlanceConfig().map_bytes == 4 * 8 * 256 * 1600
