"""What each tensor operation is called in a drawing, and how shapes are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MOVES = frozenset(
    {
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "permute",
        "transpose",
        "t",
        "T",
        "mT",
        "contiguous",
        "to",
        "type",
        "type_as",
        "float",
        "half",
        "double",
        "unsqueeze",
        "squeeze",
        "expand",
        "expand_as",
        "clone",
        "detach",
        "movedim",
        "swapaxes",
        "dropout",
        "as_subclass",
        "view_as",
        "reshape_as",
        "broadcast_to",
        "repeat",
        "requires_grad_",
        "pixel_shuffle",
    }
)
PLAIN = {
    "relu": "ReLU",
    "silu": "SiLU",
    "gelu": "GELU",
    "elu": "ELU",
    "hardswish": "hardswish",
    "hardsigmoid": "hard sigmoid",
    "relu6": "ReLU6",
    "scaled_dot_product_attention": "softmax(q kᵀ) v",
    "group_norm": "group norm",
    "layer_norm": "layer norm",
    "batch_norm": "batch norm",
    "normalize": "unit length",
    "grid_sample": "sample",
    "deform_conv2d": "deformable conv",
    "index_select": "gather",
    "gather": "gather",
    "interpolate": "resize",
    "rsqrt": "1 / root",
    "sqrt": "root",
    "reciprocal": "1 /",
    "abs": "size",
    "neg": "negative",
    "square": "square",
    "stack": "stack",
    "roll": "shift",
    "unfold": "windows",
    "clamp": "limit",
    "clamp_min": "limit",
    "narrow": "part",
    "gt": "compare",
    "maximum": "larger of both",
    "lerp": "mix",
    "addcmul": "scale and shift",
    "masked_fill": "mask",
    "linalg_vector_norm": "length",
    "diagonal": "diagonal",
}
REDUCTIONS = {"mean": "mean", "sum": "sum", "amax": "max", "max": "max", "var": "variance"}
REDUCTIONS |= {"std": "deviation", "norm": "length", "vector_norm": "length"}
REDUCTIONS |= {"softmax": "softmax", "var_mean": "mean, variance", "logsumexp": "log sum exp"}
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "truediv": "÷", "true_divide": "÷"}
PRODUCTS = frozenset({"matmul", "bmm", "mm", "einsum", "baddbmm", "addmm"})
# Values that depend on the map's shape and type only.
CONSTANTS = frozenset({"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros"})
SPLITS = frozenset({"chunk", "split", "unbind", "tensor_split", "split_with_sizes"})


@dataclass(frozen=True)
class Words:
    """What is needed to name operations: parameters by their id, and the input's C, H and W."""

    names: Mapping[int, str]
    sizes: tuple[int, ...]

    def number(self, size: int) -> str:
        """A size in the symbols C, H and W, where it is clear; small ones are numbers."""
        channels, height, width = self.sizes
        symbols = {"C": channels, "H": height, "W": width, "HW": height * width}
        if size == height + width:
            return "(H + W)"
        for symbol, value in symbols.items():
            if size == value:
                return symbol
        if size < 10:
            return str(size)
        for symbol, value in symbols.items():
            for many in (2, 3, 4, 8, 16, 32):
                if size == value * many:
                    return f"{many}{symbol}"
                if size * many == value:
                    return f"{symbol}/{many}"
        return str(size)

    def shape(self, sizes: Sequence[int]) -> str:
        return " × ".join(map(self.number, sizes))

    def parameter(self, values: Sequence[object]) -> str:
        """The name of the first parameter among values, without its last part, or ""."""
        for one in values:
            if isinstance(one, Tensor):
                base = one._base if one._base is not None else one
                name = self.names.get(id(one)) or self.names.get(id(base))
                if name:
                    return name.removesuffix(".weight").removesuffix(".bias")
        return ""


@dataclass(frozen=True)
class Text:
    """The label of an operation, whether it reads parameters, and whether it only reshapes."""

    label: str
    weighted: bool = False
    moves: bool = False


def describe(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Sequence[Tensor], words: Words
) -> Text:
    """Name one operation.

    Args:
        func: the function of torch.
        args: its arguments by position.
        kwargs: its arguments by name.
        found: the tensors of its result.
        words: names of parameters and sizes.
    """
    name = name_of(func)
    values = [*args, *kwargs.values()]
    own = words.parameter(values)
    suffix = f" ({own})" if own else ""
    if name in MOVES or (name == "getitem" and found[0].numel() == args[0].numel()):
        return Text(name, moves=True)
    if name.startswith("conv"):
        return Text(conv_words(name, args, kwargs) + suffix, weighted=True)
    if name in SIGNS and (sign := sign_words(name, args, words)):
        return Text(sign, weighted=bool(own) or sign.endswith(" weights"))
    if name in PRODUCTS or name == "linear":
        return Text(product_words(name, values) + suffix, weighted=bool(own))
    if name in REDUCTIONS:
        return Text(reduction_words(name, args, kwargs, words))
    return Text(other_words(name, args, kwargs, words), weighted=bool(own))


def name_of(func: Any) -> str:
    """The name of a function of torch, without underscores."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        name = getattr(func.__self__, "__name__", "")
    name = name.strip("_")
    return name[1:] if name in ("radd", "rmul", "rsub", "rdiv", "rtruediv") else name


def conv_words(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A convolution: its kind, the sides of its kernel, dilation and stride."""
    order = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {**dict(zip(order, args, strict=False)), **kwargs}
    weight, groups = given["weight"], given.get("groups", 1)
    sides = "×".join(map(str, weight.shape[2:])) if name != "conv1d" else f"{weight.shape[2]} taps"
    depthwise = groups > 1 and weight.shape[1] == 1
    kind = "depthwise conv" if depthwise else "grouped conv" if groups > 1 else "conv"
    text = f"{kind} {sides}"
    for word in ("dilation", "stride"):
        value = given.get(word, 1)
        largest = max(value) if isinstance(value, (tuple, list)) else value
        text += f", {word} {largest}" if largest > 1 else ""
    return text


def sign_words(name: str, args: Sequence[Any], words: Words) -> str:
    """Arithmetic of two values, with the one that does not come from the map."""
    sign = SIGNS[name]
    others = [one for one in args[:2] if not hasattr(one, "tape")]
    if not others:
        return sign
    other = others[0]
    if isinstance(other, Tensor):
        parameter = words.parameter([other])
        return f"{sign} {parameter or ('weights' if other.requires_grad else 'constants')}"
    number = f"{other:.4g}" if isinstance(other, float) else str(other)
    return f"{number} {sign} …" if other is args[0] and name != "mul" else f"{sign} {number}"


def product_words(name: str, values: Sequence[Any]) -> str:
    """A product of matrices: of two results, or with weights or a table."""
    if name == "linear":
        return "linear"
    tensors = [one for one in values if isinstance(one, Tensor)]
    recorded = [one for one in tensors if hasattr(one, "tape")]
    if len(recorded) > 1:
        return "matrix product"
    weighted = any(one.requires_grad for one in tensors if not hasattr(one, "tape"))
    return "linear" if weighted else "weighted sums"


def reduction_words(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], words: Words) -> str:
    """A reduction or a softmax, with the axes that it runs over."""
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if isinstance(dims, Tensor):
        return REDUCTIONS[name]
    if name in ("norm", "vector_norm"):
        dims = kwargs.get("dim", args[2] if len(args) > 2 else None)
    sizes = args[0].shape
    chosen = [dims] if isinstance(dims, int) else list(dims) if dims else []
    axes = ", ".join(words.number(sizes[one]) for one in chosen)
    return f"{REDUCTIONS[name]} over {axes}" if axes else REDUCTIONS[name]


def other_words(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], words: Words) -> str:
    """Whatever is left."""
    plain = name.removesuffix("_")
    if plain == "addcmul" and sum(hasattr(one, "tape") for one in args) > 1:
        return "sum of products"
    if plain in PLAIN:
        return PLAIN[plain]
    if plain in SPLITS:
        return "split"
    if plain in ("cat", "concat"):
        return "concat"
    if plain == "getitem":
        return "part"
    if plain == "pow":
        return "square" if args[1] == 2 else f"to the power {args[1]}"
    if plain == "topk":
        return f"largest {args[1]}"
    if plain == "pad":
        return "pad"
    if "pool" in plain:
        kind = "max" if "max" in plain else "mean"
        if "adaptive" in plain:
            return f"{kind} of cells"
        side = args[1] if isinstance(args[1], int) else args[1][0]
        return f"{kind} of {side}×{side}"
    return plain.replace("_", " ")
