"""Rows of own classes compute what the person wrote, and run on the meta device in any case."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.graph.shape_mode import ShapeMode
from models.own.adapter import OwnModule, own_kind, used_files
from models.own.registry import OWN, use
from utils.errors import UserError

Write = Callable[..., Path]
STUBBORN = """class Mine(nn.Module):
    def __init__(self, dim):
        super(self.__class__, self).__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.register_buffer("shift", torch.full((dim, 1, 1), 2.0))
        self.weight = nn.Parameter(torch.randn(dim, 1, 1))
    def forward(self, x):
        if float(x.mean()) > 1e9:
            return x
        return x * self.weight + self.shift + torch.from_numpy(__import__("numpy").ones(1))
"""


def kind_of(write: Write, text: str, name: str = "Mine") -> type[OwnModule]:
    use([write(text)])
    return own_kind(OWN[name])


def test_the_module_is_the_persons_with_its_keys(write: Write) -> None:
    module = kind_of(write, STUBBORN)(3)
    assert isinstance(module, OWN["Mine"].person)
    assert list(module.state_dict()) == ["weight", "shift"]
    assert type(module).__name__ == "Mine"
    assert type(module).__module__ == "my_attention"
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(module(x), (x * module.weight + 3).double())
    twin = copy.deepcopy(module)
    assert torch.equal(twin(x), module(x))
    assert twin.weight.data_ptr() != module.weight.data_ptr()


def test_code_that_needs_values_is_measured_all_the_same(write: Write) -> None:
    kind = kind_of(write, STUBBORN)
    state = torch.random.get_rng_state()
    with torch.device("meta"):
        module = kind(3).eval()
    assert module.weight.is_meta
    with ShapeMode(), torch.no_grad():
        out = module(torch.empty(2, 3, 8, 6, device="meta"))
    assert out.is_meta
    assert out.shape == (2, 3, 8, 6)
    assert torch.equal(torch.random.get_rng_state(), state)  # the draws belong to the real network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "class Mine(nn.Module):\n    def __init__(self, dim, heads=8):\n"
            "        raise KeyError('bad')\n",
            r"my_attention.py: Mine\(6, heads=4\): KeyError: 'bad' \(line 5\); its constructor"
            r" takes \(dim, heads=8\)$",
        ),
        (
            "class Mine(nn.Module):\n    def __init__(self, dim):\n        super().__init__()\n",
            r"Mine\(6, heads=4\): TypeError: .*unexpected keyword argument 'heads'.* takes \(dim\)",
        ),
    ],
)
def test_a_constructor_that_fails(write: Write, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind_of(write, text)(6, heads=4)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("x.view(7)", r"Mine.forward of 1x3x8x8: RuntimeError: .* \(line 5\); its constructor"),
        ("(x, x)", r"Mine.forward gives a tuple, but a row gives one map \[B, C, H, W\]"),
        ("x.mean((2, 3))", r"Mine.forward gives \[1, 3\], but a row gives one map"),
    ],
)
def test_a_forward_that_fails(write: Write, result: str, said: str) -> None:
    text = f"class Mine(nn.Module):\n    def forward(self, x):\n        return {result}\n"
    module = kind_of(write, text)()
    with pytest.raises(UserError, match=said):
        module(torch.empty(1, 3, 8, 8, device="meta"))


def test_a_checkpoint_gets_names_and_hashes(write: Write) -> None:
    text = "class {}(nn.Module):\n    def forward(self, x):\n        return x\n"
    use([write(text.format("A") + text.format("B") + text.format("Unused"))])
    use([write(text.format("C"), "other.py")])
    network = torch.nn.Sequential(*(own_kind(OWN[name])() for name in ("B", "C", "A", "B")))
    assert used_files(network) == [
        {"file": "my_attention.py", "sha256": OWN["A"].file.sha256, "classes": ["A", "B"]},
        {"file": "other.py", "sha256": OWN["C"].file.sha256, "classes": ["C"]},
    ]
    assert used_files(torch.nn.Conv2d(1, 1, 1)) == []
