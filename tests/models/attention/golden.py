"""Compares a module with the values in tests/golden/attention.

A file has several variants (arguments of the original) at several map sizes; its `meta` names the
parameters. The values come from the original code, run in float64. `fill` sets the parameters as
they were there, each drawn from its name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.files import ROOT

FOLDER = ROOT / "tests" / "golden" / "attention"
# Largest error relative to a value, and to the spread of its array. The files were computed in
# float64. In float32 the largest one measured with AVX-512, AVX2 and SSE4.1 is 1.8e-5, a gradient
# of SK's batch norm over two values; other processors add in other orders, so about three times as
# much is allowed. Where the original itself, run in float32, deviates by more than a third of that
# (`fp32_err` in the file), three times its deviation is allowed.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 5e-5}


def draws(seed: int, *shape: int) -> torch.Tensor:
    """Standard normal float32 values that every platform draws alike."""
    return torch.from_numpy(
        np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)
    )


def assert_same_gradients(
    module: nn.Module,
    listing: Callable[[Any, Tensor], Tensor],
    x: Tensor,
    memory_format: torch.memory_format,
) -> None:
    """Compare gradients of x and the parameters with those that autograd finds for the plain
    listing(module, x).

    Args:
        module: under test.
        listing: the plain formula with the module's parameters.
        x: the input, which requires a gradient.
        memory_format: of x, which its gradient must have too.
    """
    weights = draws(6, *x.shape).contiguous(memory_format=memory_format)
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad((module(x) * weights).sum(), inputs)
    expected = torch.autograd.grad((listing(module, x) * weights).sum(), inputs)
    torch.testing.assert_close(found, expected)
    assert found[0].is_contiguous(memory_format=memory_format)


def fill(module: nn.Module, entries: dict[str, Any]) -> None:
    """Set every parameter and buffer to the value that is drawn from its name.

    entries: of a variant's meta; each canonical name with its shape and rule. Fails if the names
    are not the module's.
    """
    state = module.state_dict()
    assert set(state) == set(entries), sorted(set(state) ^ set(entries))
    for name, entry in entries.items():
        if entry["rule"] == "keep":  # a constant of the formula
            continue
        shape = tuple(state[name].shape)
        value = (
            np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
            * 0.1
        )
        value = {"plain": value, "norm_w": 1 + value, "var": abs(value) + 0.5, "zero": 0 * value}[
            entry["rule"]
        ]
        state[name].copy_(torch.from_numpy(np.asarray(value, dtype=np.float32)))


class Golden:
    """One file: `Golden("simam").check(SimAM(32), "official", "20x20")`."""

    def __init__(self, name: str) -> None:
        self.values = np.load(FOLDER / f"{name}.npz")
        self.tolerances = TOLERANCES
        # For gradients that cancel: the least that counts as the largest value of "gradx", or of
        # a parameter's gradient.
        self.floors: dict[str, float] = {}
        self.meta = json.loads(str(self.values["meta"]))

    def entries(self, variant: str, size: str = "") -> dict[str, Any]:
        """The parameters of a variant; those of one map size where shapes follow the map."""
        found = self.meta["variants"][variant]
        of_size = found["sizes"].get(size) if isinstance(found.get("sizes"), dict) else None
        return of_size["entries"] if of_size and "entries" in of_size else found["entries"]

    def channels(self, variant: str) -> int:
        return self.meta["variants"][variant].get("C") or self.meta["C"]

    def float32_error(self, variant: str, size: str) -> float:
        """The deviation of the original in float32 from itself in float64, where stated."""
        sizes = self.meta["variants"][variant].get("sizes")
        found = sizes.get(size, {}) if isinstance(sizes, dict) else {}
        return max(found.get("fp32_err", [0.0]))

    def check(
        self, module: nn.Module, variant: str, size: str, channels: int | None = None
    ) -> None:
        """Compare outputs in eval and train mode, gradients, and running statistics.

        Inputs are tried in both precisions, contiguous and channels-last.

        Args:
            module: under test.
            variant: of the file.
            size: height x width, as in the file's keys.
            channels: of the input; None means those that the file names.
        """
        height, width = map(int, size.split("x"))
        formats = (torch.contiguous_format, torch.channels_last)
        self.tolerances = {
            **TOLERANCES,
            torch.float32: max(TOLERANCES[torch.float32], 3 * self.float32_error(variant, size)),
        }
        for dtype, memory_format in product(TOLERANCES, formats):
            x = draws(7, 2, channels or self.channels(variant), height, width).to(
                dtype, memory_format=memory_format
            )
            fill(module.to(dtype), self.entries(variant, size))
            key = f"{variant}/{size}"
            self.compare(module.eval()(x), f"{key}/eval")
            x.requires_grad_()
            module.zero_grad()
            out = module.train()(x)
            (out * draws(11, *out.shape)).sum().backward()
            self.compare(out, f"{key}/train")
            self.compare(x.grad, f"{key}/gradx")
            for name, parameter in module.named_parameters():
                self.compare(parameter.grad, f"{key}/gradp/{name}")
            for name, buffer in module.named_buffers():
                self.compare(buffer, f"{key}/buf/{name}")

    def compare(self, found: torch.Tensor | None, key: str) -> None:
        """Compare with a stored array, or with its sample and sums; some gradients and buffers are
        not stored.

        The tolerance is that of the found tensor's type.
        """
        if not any(name.split("@")[0] == key for name in self.values.files):
            assert "/gradp/" in key or "/buf/" in key, f"{key} is not in the file"
            return
        # Biases before a norm have no gradient but rounding.
        floor = self.floors.get(key.rpartition("/")[2], 1.0 if "/gradp/" in key else 1e-3)
        if key in self.values:
            expected = self.values[key]
            values = (
                np.zeros_like(expected)
                if found is None
                else found.detach().numpy().reshape(expected.shape)
            )
            self.assert_close(values, expected, key, floor)
            return
        assert found is not None, key
        values = found.detach().numpy()
        for sample in (name for name in self.values.files if name.startswith(f"{key}@sample")):
            assert tuple(self.values[f"{key}@shape"]) == values.shape
            step = int(sample.rpartition("sample")[2])
            self.assert_close(values.ravel()[::step], self.values[sample], key, floor)
        wide = values.astype(np.float64)
        sums = [wide.sum(), abs(wide).sum(), (wide**2).sum()]
        tolerance = 1e-5 * float(sums[1]) + 1e-4  # of a sum: of its terms
        relative = max(1e-4, self.tolerances[found.dtype])
        np.testing.assert_allclose(
            sums, self.values[f"{key}@stats"], rtol=relative, atol=tolerance, err_msg=key
        )

    def assert_close(
        self, values: np.ndarray, expected: np.ndarray, key: str, floor: float
    ) -> None:
        """Compare within the tolerance of the values' type, of each value and of the largest.

        Args:
            values: what the module computed.
            expected: of the same shape.
            key: for the message.
            floor: the least that counts as the largest value.
        """
        tolerance = self.tolerances[torch.float64 if values.dtype == np.float64 else torch.float32]
        spread = max(float(np.abs(expected).max(initial=0.0)), floor)
        np.testing.assert_allclose(
            values, expected, rtol=tolerance, atol=tolerance * spread, err_msg=key
        )
