"""Every attention module on a simulated GPU: launches of a forward and a backward pass, no waits.

The figures are what was counted. They may be lowered, and are raised only with a reason.
"""

from __future__ import annotations

import pytest
import torch

from models.attention import build_attention
from tests.models.attention.contract import FORMS, NAMES, draws
from tests.simulated_cuda import CUDA, simulate, simulated_cuda

CHANNELS, SIDE = 16, 8
PRECISIONS = {(8, 0): torch.bfloat16, (7, 0): torch.float16}
FAST = {name for name, form in FORMS if form == "plain"}  # those with two forms
# No wait and no blocking copy is allowed, in any module.
LAUNCHES = {
    "AAttn": 53,
    "ABlock": 73,
    "ACmix": 205,
    "AgentAttention": 165,
    "BAM": 79,
    "BiLevelRoutingAttention": 91,
    "CAA": 38,
    "CAFMAttention": 87,
    "CBAM": 71,
    "CPCA": 114,
    "ChannelAttention": 27,
    "CoT": 190,
    "CoTAttention": 49,
    "ContextAggregation": 46,
    "CoordAttention": 47,
    "CrissCross": 79,
    "DAttention": 117,
    "DeformableLKA": 60,
    "DoubleAttention": 66,
    "ECA": 16,
    "ELA": 47,
    "EMA": 74,
    "EPSA": 52,
    "ExternalAttention": 55,
    "FCA": 62,
    "FocalModulation": 73,
    "GAM": 46,
    "GCT": 52,
    "GlobalContext": 40,
    "HSFPNChannelAttention": 36,
    "LKA": 22,
    "LSK": 86,
    "LSKA": 34,
    "LocalWindowAttention": 143,
    "MCA": 172,
    "MHSA": 52,
    "MLCA": 76,
    "MLLAttention": 101,
    "MSCA": 58,
    "MultiDilatelocalAttention": 122,
    "MultiSEAM": 158,
    "NAM": 33,
    "NonLocal": 62,
    "ParNet": 39,
    "ParNetAttention": 42,
    "PolarizedSelfAttention": 76,
    "PositionAttention": 59,
    "S2Attention": 140,
    "SCSA": 175,
    "SE": 24,
    "SEAM": 54,
    "SELayerV2": 49,
    "SGE": 53,
    "SHSA": 59,
    "SK": 61,
    "SKAttention": 136,
    "SOCA": 144,
    "ShuffleAttention": 41,
    "SimAM": 36,
    "TripletAttention": 82,
    "eSE": 18,
    "iRMB": 75,
    "scSE": 55,
}


def count(name: str, capability: tuple[int, int], plain: bool = False) -> tuple[int, int, int]:
    """Launches, waits and blocking copies of a module under autocast, forward and back."""
    torch.manual_seed(0)
    module = simulate(build_attention(name, CHANNELS)).train()
    with simulated_cuda(capability, traced=plain) as counts:
        torch.use_deterministic_algorithms(True, warn_only=True)  # as in training
        dtype = PRECISIONS[capability]
        x = draws(2, CHANNELS, SIDE, SIDE).to(CUDA, dtype).requires_grad_()
        counts.clear()
        with torch.autocast("cuda", dtype=dtype):
            y = module(x)
        y.backward(torch.ones(y.shape, dtype=y.dtype, device=CUDA))
        assert x.grad is not None
        assert all(one.grad is not None for one in module.parameters())
        return counts.operations - 1, counts.waits.total(), counts.copies.total()


def test_every_module_has_a_figure() -> None:
    assert sorted(LAUNCHES) == NAMES


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_module_launches_little_and_waits_for_nothing(number: int) -> None:
    """In bf16 and fp16 by turns; the slow tests have both for each."""
    capability = list(PRECISIONS)[number % 2]
    check(NAMES[number], capability)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_module_does_so_in_the_other_precision(number: int) -> None:
    capability = list(PRECISIONS)[1 - number % 2]
    check(NAMES[number], capability)


def check(name: str, capability: tuple[int, int]) -> None:
    launches, waits, copies = count(name, capability)
    assert (waits, copies) == (0, 0)
    assert launches <= LAUNCHES[name]


@pytest.mark.parametrize("name", sorted(FAST))
def test_the_form_on_a_gpu_launches_no_more_than_the_plain_one(name: str) -> None:
    chosen, plain = (count(name, (8, 0), plain=plain)[0] for plain in (False, True))
    assert chosen <= plain
