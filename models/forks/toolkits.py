"""The parts of mmcv and mmengine that files of forks import, without the packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor, nn

from models.forks.layers import DropPath, LayerNorm2d

Kind = TypeVar("Kind")
Settings = Mapping[str, Any]
NORMS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "BN": nn.BatchNorm2d,
        "BN1d": nn.BatchNorm1d,
        "BN2d": nn.BatchNorm2d,
        "BN3d": nn.BatchNorm3d,
        "SyncBN": nn.SyncBatchNorm,
        "IN": nn.InstanceNorm2d,
        "GN": nn.GroupNorm,
        "LN": nn.LayerNorm,
        "LN2d": LayerNorm2d,
    }
)
ACTS = {"Swish": nn.SiLU, "HSwish": nn.Hardswish, "HSigmoid": nn.Hardsigmoid}
CONVS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {"Conv": nn.Conv2d, "Conv1d": nn.Conv1d, "Conv2d": nn.Conv2d, "Conv3d": nn.Conv3d}
)
CONV_OPTIONS = (
    *("stride", "padding", "dilation", "groups", "bias", "conv_cfg", "norm_cfg", "act_cfg"),
    *("inplace", "with_spectral_norm", "padding_mode", "order"),
)


def _split(cfg: Settings) -> tuple[str, dict[str, Any]]:
    """The type of a configuration, and its other keys."""
    rest = dict(cfg)
    return rest.pop("type"), rest


def build_norm_layer(
    cfg: Settings, num_features: int, postfix: int | str = ""
) -> tuple[str, nn.Module]:
    """Build a norm.

    Args:
        cfg: its `type`, such as BN, GN or LN, and options.
        num_features: channels.
        postfix: of the name.

    Returns:
        (name such as "bn1", the module).
    """
    kind, options = _split(cfg)
    trained = options.pop("requires_grad", True)
    first = "GN" if kind == "GN" else ""
    args = (options.pop("num_groups"), num_features) if first else (num_features,)
    norm = NORMS[kind](*args, **{"eps": 1e-5, **options})
    norm.requires_grad_(trained)
    short = "bn" if "BN" in kind else kind.lower().removesuffix("2d")
    return f"{short}{postfix}", norm


def build_activation_layer(cfg: Settings) -> nn.Module:
    """Build the activation whose name is the `type`; see torch.nn for its options."""
    kind, options = _split(cfg)
    built: nn.Module = (ACTS.get(kind) or getattr(nn, kind))(**options)
    return built


def build_conv_layer(cfg: Settings | None, *args: Any, **options: Any) -> nn.Module:
    """Build a convolution from torch.nn's arguments; None for two dimensions."""
    kind, more = _split(cfg or {"type": "Conv2d"})
    return CONVS[kind](*args, **options, **more)


def build_dropout(cfg: Settings, default_args: Settings | None = None) -> nn.Module:
    """Build Dropout or DropPath from `type` and `drop_prob`."""
    kind, options = _split({**(default_args or {}), **cfg})
    probability = options.get("drop_prob", options.get("p", 0.5 if kind == "Dropout" else 0.1))
    return nn.Dropout(probability) if kind == "Dropout" else DropPath(probability)


class BaseModule(nn.Module):
    """nn.Module with the argument and methods of mmengine's; init_cfg is not used."""

    def __init__(self, init_cfg: Any = None) -> None:
        super().__init__()
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Keep the weights of the constructor."""


class ModuleList(BaseModule, nn.ModuleList):
    """nn.ModuleList that takes init_cfg."""

    def __init__(self, modules: Any = None, init_cfg: Any = None) -> None:
        nn.ModuleList.__init__(self, modules)
        self.init_cfg = init_cfg


class Sequential(BaseModule, nn.Sequential):
    """nn.Sequential that takes init_cfg."""

    def __init__(self, *args: Any, init_cfg: Any = None) -> None:
        nn.Sequential.__init__(self, *args)
        self.init_cfg = init_cfg


class ConvModule(nn.Module):
    """Convolution, norm, activation, in the order that `order` gives.

    Args:
        in_channels, out_channels: channels.
        kernel_size: side.
        values, options: stride, padding, dilation, groups and bias ("auto": only without a norm)
            of the convolution; conv_cfg and norm_cfg, none by default; act_cfg, ReLU by default;
            inplace, with_spectral_norm, padding_mode and order. This is mmcv's order too.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, *values: Any, **options: Any
    ) -> None:
        super().__init__()
        options = {**dict(zip(CONV_OPTIONS, values, strict=False)), **options}
        norm_cfg, act_cfg = options.get("norm_cfg"), options.get("act_cfg", {"type": "ReLU"})
        bias = options.get("bias", "auto")
        sizes = {
            key: options[key]
            for key in ("stride", "padding", "dilation", "groups", "padding_mode")
            if key in options
        }
        self.order = options.get("order", ("conv", "norm", "act"))
        self.conv = build_conv_layer(
            options.get("conv_cfg"),
            in_channels,
            out_channels,
            kernel_size,
            bias=norm_cfg is None if bias == "auto" else bias,
            **sizes,
        )
        self.norm_name, self.activate = "", None
        if norm_cfg:
            after = self.order.index("norm") > self.order.index("conv")
            self.norm_name, norm = build_norm_layer(
                norm_cfg, out_channels if after else in_channels
            )
            self.add_module(self.norm_name, norm)
        if act_cfg:
            self.activate = build_activation_layer(act_cfg)

    @property
    def norm(self) -> nn.Module | None:
        """The norm, or None."""
        return getattr(self, self.norm_name) if self.norm_name else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        parts = {"conv": self.conv, "norm": self.norm, "act": self.activate}
        for name in self.order:
            part = parts[name]
            x = x if part is None else part(x)
        return x


class DepthwiseSeparableConvModule(nn.Module):
    """A depth-wise ConvModule, then one of 1x1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, **options: Any
    ) -> None:
        super().__init__()
        point = {key: options[key] for key in ("norm_cfg", "act_cfg") if key in options}
        self.depthwise_conv = ConvModule(
            in_channels, in_channels, kernel_size, groups=in_channels, **options
        )
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1, **point)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        return self.pointwise_conv(self.depthwise_conv(x))


class Registrar:
    """Stands for a registry such as MODELS: its decorator leaves a class as it is."""

    def register_module(self, *given: Any, **options: Any) -> Any:
        """A decorator without an effect, with or without brackets."""
        return given[0] if given and isinstance(given[0], type) else unchanged


def unchanged(kind: Kind) -> Kind:
    """The argument."""
    return kind


def _values(module: nn.Module, fill: Callable[[Tensor], object], bias: float) -> None:
    if isinstance(getattr(module, "weight", None), Tensor):
        fill(module.weight)  # type: ignore[arg-type]
    if isinstance(getattr(module, "bias", None), Tensor):
        nn.init.constant_(module.bias, bias)  # type: ignore[arg-type]


def constant_init(module: nn.Module, val: float, bias: float = 0) -> None:
    """Set weights to a number."""
    _values(module, lambda weight: nn.init.constant_(weight, val), bias)


def normal_init(module: nn.Module, mean: float = 0, std: float = 1, bias: float = 0) -> None:
    """Normally distributed weights."""
    _values(module, lambda weight: nn.init.normal_(weight, mean, std), bias)


def trunc_normal_init(module: nn.Module, mean: float = 0, std: float = 1, bias: float = 0) -> None:
    """Normally distributed weights within two units."""
    _values(module, lambda weight: nn.init.trunc_normal_(weight, mean, std), bias)


def xavier_init(
    module: nn.Module, gain: float = 1, bias: float = 0, distribution: str = "normal"
) -> None:
    """Glorot's start."""
    uniform = distribution == "uniform"
    fill = nn.init.xavier_uniform_ if uniform else nn.init.xavier_normal_
    _values(module, lambda weight: fill(weight, gain), bias)


def kaiming_init(module: nn.Module, *, bias: float = 0, **options: Any) -> None:
    """He's start; options: mode, nonlinearity, a, distribution."""
    fill = (
        nn.init.kaiming_uniform_
        if options.pop("distribution", "normal") == "uniform"
        else nn.init.kaiming_normal_
    )
    usual = {"mode": "fan_out", "nonlinearity": "relu", **options}
    _values(module, lambda weight: fill(weight, **usual), bias)
