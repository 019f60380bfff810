"""The studies of bench/planted_causes.py: which module, where, with which fault, in which half.

Clues were written while looking at the half `dev` only; `held` has other modules, other places,
other images and other seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ablation.study import Arm
from bench import planted_faults as faults

# How a clue of each cause begins to be recognised: a part of its sentence.
MARKS = {
    "not transferred": "pretrained weights",
    "skips unshifted": "number was not moved",
    "lambda 512": "cannot learn to select",
    "saturated at start": "saturated at its start",
    "learning rate": "learning rate of the new rows",
    "no gradient": "gets no gradient",
    "EMA too young": "averaged weights are too young",
    "swapped names": "names are probably swapped",
}
HALVES = {"dev": 0, "held": 1}  # and the seed of their images
FIRST_SEED = {"dev": 0, "held": 20}


@dataclass(frozen=True)
class Case:
    """One arm.

    Attributes:
        half: "dev" or "held".
        attention: such as SE@neck.
        cause: the planted cause, "" for none.
        fault: makes the block within which the training has the fault.
        init: how the module starts.
        is_swapped: whether the study's validation labels have two classes swapped.
    """

    half: str
    attention: str
    cause: str = ""
    fault: Callable[[], AbstractContextManager[None]] = nullcontext
    init: str = "paper"
    is_swapped: bool = False

    @property
    def arm(self) -> Arm:
        name = f"{self.attention} {self.init}" if self.init == "identity" else self.attention
        name = f"{name} {self.cause}" if self.cause else name
        return Arm(name, (self.attention,), self.init, FIRST_SEED[self.half])


def planted(half: str, cause: str, *attention: str, **more: object) -> list[Case]:
    """Cases of one cause: one for each attention."""
    return [Case(half, text, cause, **more) for text in attention]  # type: ignore[arg-type]


PLANTED = [
    *planted("dev", "not transferred", "SE@neck", fault=faults.no_transfer),
    *planted("dev", "skips unshifted", "CBAM@backbone.P3", fault=faults.unshifted_skips),
    *planted("dev", "lambda 512", "PlantedEnergy@neck"),
    *planted("dev", "saturated at start", "PlantedChannels@neck"),
    *planted("dev", "learning rate", "SE@neck", fault=faults.fast_new_rows),
    *planted("dev", "no gradient", "PlantedDetached@neck"),
    *planted("dev", "EMA too young", "SE@neck", fault=faults.young_average),
    *planted("dev", "swapped names", "SE@neck", is_swapped=True),
    *planted("held", "not transferred", "CoordAttention@backbone.P4", fault=faults.no_transfer),
    *planted("held", "not transferred", "SimAM@backbone.P3", fault=faults.no_transfer),
    *planted("held", "not transferred", "GAM@backbone.P3", fault=faults.transfer_by_name),
    *planted("held", "skips unshifted", "SimAM@backbone.P3", fault=faults.unshifted_skips),
    *planted("held", "skips unshifted", "CoordAttention@backbone.P4", fault=faults.unshifted_skips),
    *planted("held", "lambda 512", "PlantedEnergy@backbone.P4", "PlantedContrast@neck.P4"),
    *planted("held", "saturated at start", "PlantedChannels:bias=9.0@backbone.P4"),
    *planted("held", "saturated at start", "PlantedPositions@neck.P3"),
    *planted(
        "held", "learning rate", "GAM@neck.P4", "CoordAttention@neck", fault=faults.fast_new_rows
    ),
    *planted("held", "learning rate", "ELA@backbone.P4", fault=faults.fast_new_rows),
    *planted("held", "no gradient", "PlantedZeros@neck", "PlantedDetached@backbone.P4"),
    *planted("held", "EMA too young", "GAM@neck.P4", "SimAM@neck", fault=faults.young_average),
    *planted("held", "swapped names", "CoordAttention@neck", "SimAM@neck", is_swapped=True),
]
HEALTHY = [
    *(Case("dev", f"{name}@neck") for name in ("SE", "CBAM", "SimAM", "ECA", "GAM")),
    *(Case("dev", f"{name}@backbone.P4", init="identity") for name in ("SE", "CBAM", "ECA")),
    *(
        Case("held", f"{name}@{place}", init=init)
        for place, init in (("neck", "paper"), ("backbone.P4", "identity"))
        for name in (
            "CoordAttention",
            "BAM",
            "EMA",
            "LSK",
            "LSKA",
            "NAM",
            "ShuffleAttention",
            "TripletAttention",
            "GCT",
            "ELA",
            "MCA",
            "MLCA",
            "SCSA",
            "CAA",
            "SGE",
            "ESE",
            "SK",
            "GlobalContext",
            "CPCA",
            "SimAM",
        )
    ),
]
