"""The classes of a checkpoint beside those of a data set or of another checkpoint.

Numbers alone do not tell whether class 0 is the same thing on both sides, so names are compared:
without regard to case, spaces, hyphens and underscores. Spellings in which the lists of COCO's
classes in circulation differ count as equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.families import Family
from utils.text import printable

SPELLINGS: Mapping[str, str] = MappingProxyType(
    {  # of darknet's list and of VOC -> of COCO's own
        "aeroplane": "airplane",
        "doughnut": "donut",
        "hairdryer": "hairdrier",
        "motorbike": "motorcycle",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
)


class Agreement(NamedTuple):
    """How the classes of two sides fit together.

    Attributes:
        order: for each class of the second side its number on the first.
        note: a sentence on what a reader of the results must know, "" for nothing.
    """

    order: tuple[int, ...]
    note: str = ""


def plain_name(name: object) -> str:
    """A class name as it is compared."""
    plain = re.sub(r"[\s_-]+", "", str(name)).casefold()
    return SPELLINGS.get(plain, plain)


def is_unnamed(names: Mapping[int, str]) -> bool:
    """Whether the names of the classes are just their numbers, the default."""
    return all(re.fullmatch(rf"(class_?)?{number}", str(name)) for number, name in names.items())


def compare_classes(
    known: Mapping[int, str], wanted: Mapping[int, str], where: tuple[str, str]
) -> Agreement:
    """Compare two lists of equally many classes.

    Args:
        known: class number -> name of the checkpoint.
        wanted: the same of the data set.
        where: what the messages call the two sides.

    Returns:
        The order, which is that of the numbers unless the same names stand in another order.

    Raises:
        UserError: A class has another number on the other side, and the names are not the same.
    """
    theirs, mine = ([plain_name(names[i]) for i in sorted(names)] for names in (known, wanted))
    same = Agreement(tuple(range(len(mine))))
    if mine == theirs or is_unnamed(known) or is_unnamed(wanted):
        return same
    if sorted(mine) == sorted(theirs) and len(set(mine)) == len(mine):
        order = tuple(theirs.index(name) for name in mine)
        note = f"{where[1]} has the classes of {where[0]} in another order; they match by name"
        return Agreement(order, note)
    at_place = {name for name, other in zip(mine, theirs, strict=True) if name == other}
    for number, name in enumerate(mine):
        if name in theirs and name not in at_place:
            raise UserError(
                f"{where[1]}: class {number} is {printable(wanted[number], 40)}, which is class"
                f" {theirs.index(name)} in {where[0]}, and other names differ; number the classes"
                " as there"
            )
    differ = [number for number, name in enumerate(mine) if name != theirs[number]]
    first, count = differ[0], len(differ)
    note = (
        f"{count} of {len(mine)} class names differ, such as class {first}:"
        f" {printable(wanted[first], 40)} in {where[1]} and {printable(known[first], 40)} in"
        f" {where[0]}; classes match by number"
    )
    return Agreement(same.order, note)


def match_classes(source: Mapping[int, str], target: Mapping[int, str]) -> list[int | None]:
    """For each class of the target its number in the source, or None.

    Classes match by name. They match by number if all names are equal. They also do if both sides
    have equally many classes and either share no name, as after renaming, or one side has only
    numbers as names.
    """
    theirs, mine = (
        [plain_name(names[number]) for number in sorted(names)] for names in (source, target)
    )
    # Reversed, so that the first of several equal names counts.
    numbers = {name: number for number, name in reversed(list(enumerate(theirs)))}
    # Names such as "0" do not identify a class, so they match neither words nor each other.
    are_numbers = is_unnamed(source) or is_unnamed(target)
    if mine == theirs or (
        len(mine) == len(theirs) and (are_numbers or not set(mine) & set(theirs))
    ):
        return list(range(len(mine)))
    return [None if are_numbers else numbers.get(name) for name in mine]


class Renumbered(nn.Module):
    """A detector that gives its classes the numbers of another list of the same names.

    Attributes:
        names, family, stride, channels: as those of a detector.
    """

    family: Family
    stride: Tensor
    channels: int

    def __init__(self, model: nn.Module, order: Sequence[int], names: Mapping[int, str]) -> None:
        """Wrap a detector; order has, for each class of names, its number in the detector."""
        super().__init__()
        self.model, self.names = model, dict(names)
        self.family, self.stride = cast(Family, model.family), cast(Tensor, model.stride)
        self.channels = cast(int, model.channels)
        self.fixed_size = getattr(model, "fixed_size", None)  # of an exported file
        first = self.family.box_columns
        self.columns = torch.tensor([*range(first), *(first + number for number in order)])
        self.train(model.training)  # a new module is in training mode

    def forward(self, x: Tensor, augment: bool = False) -> tuple[Tensor, list[Tensor] | None]:
        """[B, 3, H, W] in 0..1 -> ([B, N, box_columns + nc], the raw maps) of the detector.

        The columns of the scores are in the new order.
        """
        decoded, raw = self.model(x, augment=augment)
        return decoded.index_select(2, self.columns.to(decoded.device)), raw
