"""Area attention of the YOLO12 authors' fork, converted into the form of later releases.

The fork has one convolution for queries and keys, one for values, and a 5x5 position code. Ours, as
Ultralytics', has one convolution `qkv` whose channels are sorted by head, and a 7x7 position code;
both compute the same. A kernel with a border of zeros is the same kernel.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention.area import HEAD_CHANNELS
from models.graph.values import is_whole
from models.weights.upstream.tree import Tree

MARK = "qk.conv.weight"
SIDE = 7  # of the position code's kernel


def join_qkv(state: Mapping[str, Tensor], heads: Mapping[str, int]) -> dict[str, Tensor]:
    """A state dict with every area attention in our form.

    Args:
        state: tensors by key, which may have area attention in either form, or none.
        heads: number of heads by what the keys of an attention begin with; where it is missing,
            heads have 32 channels, as in all blocks of YOLO12.

    Returns:
        The state dict; tensors that need no conversion are the same objects.
    """
    joined = dict(state)
    for start in _starts(state):
        channels = state[f"{start}v.conv.weight"].shape[0]
        count = heads.get(start, max(1, channels // HEAD_CHANNELS))
        for key in [key for key in state if key.startswith(f"{start}qk.")]:
            part = key.removeprefix(f"{start}qk.")
            both, value = joined.pop(key), joined.pop(f"{start}v.{part}", None)
            joined[f"{start}qkv.{part}"] = both
            if value is not None and both.dim():  # not the counter of a norm
                joined[f"{start}qkv.{part}"] = _by_head(both, value, count)
        kernel = joined[f"{start}pe.conv.weight"]
        joined[f"{start}pe.conv.weight"] = F.pad(kernel, [(SIDE - kernel.shape[-1]) // 2] * 4)
    return joined


def _starts(state: Mapping[str, Tensor]) -> list[str]:
    """What the keys begin with of each attention in the fork's form, recognised by shapes too."""
    found = []
    for start in [key.removesuffix(MARK) for key in state if key.endswith(MARK)]:
        shapes = [
            tuple(state[key].shape)
            for key in (f"{start}{part}.conv.weight" for part in ("qk", "v", "pe"))
            if key in state
        ]
        count = shapes[0][1] if len(shapes[0]) == 4 else 0
        pairs, values = (2 * count, count, 1, 1), (count, count, 1, 1)
        if any(shapes == [pairs, values, (count, 1, side, side)] for side in (3, 5, 7)):
            found.append(start)
    return found


def _by_head(both: Tensor, value: Tensor, heads: int) -> Tensor:
    """Queries and keys [2 C, …] and values [C, …] -> [3 C, …], per head its q, its k, its v."""
    parts = [part.unflatten(0, (heads, -1)) for part in (*both.chunk(2), value)]
    return torch.stack(parts, 1).flatten(0, 2)


def convert_tree(tree: Tree) -> None:
    """Convert every area attention of a network that read_tree() has just read."""
    heads, starts = {}, _starts(tree.state)
    for start in starts:
        attention = tree.modules.get(start.removesuffix("."))
        count = attention.get("num_heads") if attention else None
        channels = tree.state[f"{start}v.conv.weight"].shape[0]
        if is_whole(count) and count > 0 and channels % count == 0:
            heads[start] = count
        # Its padding belongs to the kernel before the conversion.
        tree.modules.pop(f"{start}pe.conv", None)
    tree.state = join_qkv(tree.state, heads)
