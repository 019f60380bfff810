"""Names that public copies of attention modules give their tensors, translated into ours.

Forks share the names of classes but not those of tensors, so a module is recognised by its keys and
shapes. A KeyForm lists the keys of one copy; several copies of a name differ in their formula too,
which the keys show. models/weights/upstream/rows.py applies the forms to the rows of a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType

from torch import Tensor

Tensors = Mapping[str, Tensor]
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LAYER = ("weight", "bias")


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The names of one public copy.

    Attributes:
        module: name of our module.
        names: our key for each of theirs; all must be there.
        optional: our key for further keys that may be there, such as biases.
        options: of our module, which follow from the form rather than from shapes.
        exchanged: our keys of convolutions that read two maps in the other order than ours.
    """

    module: str
    names: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    exchanged: tuple[str, ...] = ()

    def fits(self, state: Tensors) -> bool:
        """Whether a module's tensors have these names."""
        return set(self.names) <= set(state) <= {*self.names, *self.optional}

    def paths(self) -> dict[str, str]:
        """The path of each of their layers, by ours."""
        both = {**self.optional, **self.names}
        return {ours.rpartition(".")[0]: key.rpartition(".")[0] for key, ours in both.items()}

    def translate(self, state: Tensors) -> dict[str, Tensor]:
        """The tensors under our names, their channels in our order."""
        ours = {**self.optional, **self.names}
        found = {ours[key]: value for key, value in state.items()}
        return {
            key: value.flip(1) if key in self.exchanged else value for key, value in found.items()
        }


def layers(pairs: Mapping[str, str], parts: tuple[str, ...] = ("weight",)) -> dict[str, str]:
    """The keys of layers, theirs and ours, each with the given parts."""
    return {f"{one}.{part}": f"{other}.{part}" for one, other in pairs.items() for part in parts}


def _cbam() -> Iterator[KeyForm]:
    """Forms of CBAM: the names of the channel gate with those of the spatial gate.

    Copies join [mean, max] before the spatial convolution, and the authors' code and
    External-Attention [max, mean], as this project does.
    """
    ours = ("channel_attention.fc1", "channel_attention.fc2")
    spatial = "spatial_attention.conv"
    gates = [
        *(("channel_attention.f1", "channel_attention.f2"), ours),
        *(("channel_attention.shared_MLP.0", "channel_attention.shared_MLP.2"),),
        *(("channel_attention.fc.0", "channel_attention.fc.2"),),
        *(("channel_attention.mlp.0", "channel_attention.mlp.2"),),
        *(("ca.f1", "ca.f2"), ("ca.fc1", "ca.fc2"), ("ca.shared_MLP.0", "ca.shared_MLP.2")),
        *(("ca.fc.0", "ca.fc.2"), ("ca.mlp.0", "ca.mlp.2")),
    ]
    convs = ("conv", "conv1", "cv1", "conv2d")
    for (first, second), conv in product(gates, convs):
        holder = "spatial_attention" if first.startswith("channel") else "sa"
        pairs = dict(zip((first, second), ours, strict=True))
        yield KeyForm(
            "CBAM",
            {**layers(pairs), f"{holder}.{conv}.weight": f"{spatial}.weight"},
            {**layers(pairs, ("bias",)), f"{holder}.{conv}.bias": f"{spatial}.bias"},
            {"formula": "plain"},
            (f"{spatial}.weight",),
        )
    for conv in convs:
        yield KeyForm(
            "CBAM",
            {
                **layers({"channel_attention.fc": "channel_attention.fc"}, LAYER),
                f"spatial_attention.{conv}.weight": f"{spatial}.weight",
            },
            options={"formula": "ultralytics"},
            exchanged=(f"{spatial}.weight",),
        )
    pairs = dict(zip(("ca.se.0", "ca.se.2"), ours, strict=True))
    yield KeyForm(
        "CBAM",
        {**layers(pairs), **layers({"sa.conv": spatial})},
        {**layers(pairs, ("bias",)), **layers({"sa.conv": spatial}, ("bias",))},
        {"formula": "external"},
    )
    pairs = dict(zip(("ChannelGate.mlp.1", "ChannelGate.mlp.3"), ours, strict=True))
    yield KeyForm(
        "CBAM",
        {
            **layers(pairs, LAYER),
            **layers({"SpatialGate.spatial.conv": spatial}),
            **layers({"SpatialGate.spatial.bn": "spatial_attention.bn"}, NORM),
        },
        options={"formula": "paper"},
    )


def _se() -> Iterator[KeyForm]:
    for first, second in (("l1", "l2"), ("fc1", "fc2"), ("fc.0", "fc.2"), ("se.0", "se.2")):
        pairs = {first: "fc.0", second: "fc.2"}
        yield KeyForm("SE", layers(pairs), layers(pairs, ("bias",)))


def _gam() -> Iterator[KeyForm]:
    """Forms of GAM with layers of their own names, which have no sigmoid on the channel branch."""
    ours = [
        *(f"channel_attention.{number}" for number in (0, 2)),
        *(f"spatial_attention.{number}" for number in (0, 3, 1, 4)),
    ]
    layered = ["linear1", "linear2", "conv1", "conv2"]
    nested = [
        *(f"channel_attention.{name}" for name in ("fc1", "fc2")),
        *(f"spatial_attention.{name}" for name in ("conv1", "conv2", "bn", "bn1")),
    ]
    for theirs in ([*layered, "norm1", "norm2"], [*layered, "bn1", "bn2"], nested):
        pairs = list(zip(theirs, ours, strict=True))
        names = {**layers(dict(pairs[:4]), LAYER), **layers(dict(pairs[4:]), NORM)}
        yield KeyForm("GAM", names, options={"channel_sigmoid": False})


def _triplet() -> Iterator[KeyForm]:
    """Forms of TripletAttention; a gate is named by the axes of the plane that its kernel sees."""
    rows = ("ChannelGateW", "ChannelHeight", "HeightChannel")
    planes = ("SpatialGate", "HeightWidth", "Spatial")
    gates = [
        (across, row, plane)
        for across in ("ChannelGateH", "ChannelWidth")
        for row in rows
        for plane in planes
    ]
    for names, inner, count in product([*gates, ("cw", "hc", "hw")], ("conv", "spatial"), (3, 2)):
        pairs = dict(zip(names[:count], ("cw", "hc", "hw"), strict=False))
        convs = {f"{one}.{inner}.conv": f"{other}.conv.conv" for one, other in pairs.items()}
        norms = {f"{one}.{inner}.bn": f"{other}.conv.bn" for one, other in pairs.items()}
        yield KeyForm("TripletAttention", {**layers(convs), **layers(norms, NORM)})


def _bam() -> Iterator[KeyForm]:
    """The authors' form of BAM."""
    channel, spatial = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
    parts = {
        f"{channel}fc_0": "channel_att.fc0",
        f"{channel}fc_final": "channel_att.fc_final",
        f"{spatial}conv_reduce0": "spatial_att.conv_reduce",
        f"{spatial}conv_di_0": "spatial_att.conv0",
        f"{spatial}conv_di_1": "spatial_att.conv1",
        f"{spatial}conv_final": "spatial_att.conv_final",
    }
    norms = {
        f"{channel}bn_1": "channel_att.bn0",
        f"{spatial}bn_reduce0": "spatial_att.bn_reduce",
        f"{spatial}bn_di_0": "spatial_att.bn0",
        f"{spatial}bn_di_1": "spatial_att.bn1",
    }
    yield KeyForm("BAM", {**layers(parts, LAYER), **layers(norms, NORM)})


def _caa() -> Iterator[KeyForm]:
    """The form of CAA's copies, whose strips are convolutions themselves."""
    strips = {"h_conv": "h_conv.conv", "v_conv": "v_conv.conv"}
    pairs = {name: name for name in ("conv1.conv", "conv2.conv")}
    norms = {name: name for name in ("conv1.bn", "conv2.bn")}
    yield KeyForm("CAA", {**layers(strips, LAYER), **layers(pairs), **layers(norms, NORM)})


def _ela() -> Iterator[KeyForm]:
    """ELA with a dense convolution of one tap, in one container with the norm."""
    pairs = {"conv1x1.0": "conv", "conv1x1.1": "gn"}
    yield KeyForm("ELA", layers(pairs, LAYER))


def _scse() -> Iterator[KeyForm]:
    """The form of segmentation libraries, which add both products."""
    pairs = {"cSE.1": "cSE.fc1", "cSE.3": "cSE.fc2", "sSE.0": "sSE.conv"}
    yield KeyForm("scSE", layers(pairs, LAYER), options={"fuse": "add"})


FORMS: Mapping[str, tuple[KeyForm, ...]] = MappingProxyType(
    {
        "CBAM": tuple(_cbam()),
        "SE": tuple(_se()),
        "GAM": tuple(_gam()),
        "TripletAttention": tuple(_triplet()),
        "BAM": tuple(_bam()),
        "CAA": tuple(_caa()),
        "ELA": tuple(_ela()),
        "scSE": tuple(_scse()),
    }
)


def find_form(state: Tensors, names: tuple[str, ...]) -> KeyForm | None:
    """The form of a module's tensors.

    Args:
        state: the module's tensors by their keys below it.
        names: of our modules that its class may be, tried first; () if its class is unknown.

    Returns:
        The form, or None if no copy with such names is known.
    """
    order = [*names, *(name for name in FORMS if name not in names)]
    forms = (form for name in order for form in FORMS.get(name, ()))
    return next((form for form in forms if form.fits(state)), None)
