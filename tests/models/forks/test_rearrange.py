"""Patterns against the same steps written with PyTorch's own methods."""

from __future__ import annotations

import pytest
import torch

from models.forks.rearrange import Rearrange, Reduce, parse, rearrange, reduce, repeat

X = torch.arange(2 * 6 * 4 * 5.0).view(2, 6, 4, 5)


def test_sides() -> None:
    assert parse("b (h d) ... 1") == (("b",), ("h", "d"), ("…",), ())


@pytest.mark.parametrize(
    ("pattern", "sizes", "expected"),
    [
        ("b c h w -> b (h w) c", {}, X.flatten(2).transpose(1, 2)),
        ("b c h w -> b h w c", {}, X.permute(0, 2, 3, 1)),
        (
            "b (a c) h w -> b (c a) h w",
            {"a": 2},
            X.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2),
        ),
        (
            "b c (i p) w -> (b i) c p w",
            {"p": 2},
            X.unflatten(2, (2, 2)).transpose(1, 2).flatten(0, 1),
        ),
        ("b ... w -> b w ...", {}, X.permute(0, 3, 1, 2)),
        ("b c h w -> b c 1 (h w)", {}, X.flatten(2).unsqueeze(2)),
    ],
)
def test_rearrange(pattern: str, sizes: dict[str, int], expected: torch.Tensor) -> None:
    torch.testing.assert_close(rearrange(X, pattern, **sizes), expected)
    torch.testing.assert_close(Rearrange(pattern, **sizes)(X), expected)


def test_a_list_is_stacked() -> None:
    assert torch.equal(rearrange([X, X + 1], "n b c h w -> b (n c) h w"), torch.cat((X, X + 1), 1))


def test_reduce_and_repeat() -> None:
    torch.testing.assert_close(reduce(X, "b c h w -> b c", "mean"), X.mean((2, 3)))
    torch.testing.assert_close(Reduce("b c h w -> b c 1 1", "max")(X), X.amax((2, 3), True))
    pooled = reduce(X, "b c (h p) w -> b c h w", "sum", p=2)
    torch.testing.assert_close(pooled, X[:, :, ::2] + X[:, :, 1::2])
    repeated = repeat(X[0, 0], "h w -> n h (w k)", n=3, k=2)
    assert torch.equal(repeated[2], X[0, 0].repeat_interleave(2, 1))


@pytest.mark.parametrize(
    ("pattern", "sizes", "said"),
    [
        ("b c -> c b", {}, "does not fit a tensor of 4 dimensions"),
        ("b (a c) h w -> b a c h w", {"a": 4}, "6 cannot be split into"),
        ("b (a c) h w -> b a c h w", {}, "6 cannot be split into"),
        ("b c h w -> b c h", {}, "both sides must have the same axes"),
    ],
)
def test_a_pattern_that_does_not_fit(pattern: str, sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rearrange(X, pattern, **sizes)


def test_lengths_and_reductions_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="axis n: its length is not given"):
        repeat(X, "b c h w -> b c h w n")
    with pytest.raises(ValueError, match="reduction 'median': must be one of mean"):
        reduce(X, "b c h w -> b c", "median")
