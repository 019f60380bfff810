"""Activations made from their text, and the text that is refused."""

from __future__ import annotations

import pytest
from torch import nn

from models.activations import SiLU, make_activation


@pytest.mark.parametrize(
    ("text", "kind", "option"),
    [
        ("nn.LeakyReLU(0.1)", nn.LeakyReLU, ("negative_slope", 0.1)),
        (
            "torch.nn.LeakyReLU(negative_slope=0.2, inplace=True)",
            nn.LeakyReLU,
            ("negative_slope", 0.2),
        ),
        ("nn.SiLU()", SiLU, None),
        ("ReLU", nn.ReLU, None),
        ("nn.Hardswish()", nn.Hardswish, None),
    ],
)
def test_activation_by_table(text: str, kind: type, option: tuple[str, float] | None) -> None:
    activation = make_activation(text)
    assert type(activation) is kind
    assert option is None or getattr(activation, option[0]) == option[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "print(1)",
        "nn.Linear(3, 3)",
        "nn.LeakyReLU(open('x'))",
        "nn.LeakyReLU(1, 2, 3, 4)",
        "nn.ReLU().to(1)",
        "nn.ELU(1e999)",
    ],
)
def test_no_other_text_is_an_activation(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make_activation(text)
