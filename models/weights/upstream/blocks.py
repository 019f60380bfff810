"""Recognise attention inside the blocks of foreign networks, by keys and shapes.

Forks put attention of one name into different places of a block, or in place of its bottlenecks.
The plain block has known keys, so those that a row has beside them, or lacks, tell where its
attention is. A row that is recognised becomes one of the plain block with `{inside: …, place: …}`
(models/graph/inside.py), and its attention gets our keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from models.attention import ATTENTION
from models.graph.block_names import TRIAL_WIDTH
from models.graph.inside import PLACES, SETTINGS, Spot
from models.graph.layers import LAYERS
from models.weights.upstream.identify import UNKNOWN, Identified, has_tensors, identify
from models.weights.upstream.plain import ForeignRow, Trial, bases_of, try_block
from models.weights.upstream.tree import activation_text, class_name_of, members
from utils.errors import UserError

OWN_NAMES = ("output_attention", "input_attention")  # parts of our keys, never of a fork's
# Attention that is part of a bottleneck's convolution: where it acts.
HOLDERS = {"cv1.": "between", "cv2.": "branch", "cv3.": "between"}
MOST_ROW_TENSORS = 5000  # of all copies of a block; those that are known have less than 1,000
# Names of keys for which public blocks of one kind differ in the place.
BEFORE_OR_AFTER, ANYWHERE, ON_INPUT = ("eca", "ema"), ("ema", "EMA"), ("eca",)
REMEDY = (
    "give the file with its class as --modules, or a state dict saved in its own program with --cfg"
)


@dataclass(frozen=True, slots=True)
class BlockFound:
    """A row that was recognised.

    Attributes:
        base: name of the plain block.
        arguments: of the row, with the mapping of its attention at the end.
        state: the row's tensors under our names.
        paths: paths of modules in the file by ours, where they differ.
    """

    base: str
    arguments: list[object]
    state: dict[str, Tensor]
    paths: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Guess:
    """Where the attention of a block may be.

    Attributes:
        place: a name of PLACES.
        starts: what its keys begin with, for each spot of the place.
    """

    place: str
    starts: list[str]

    def part(self, state: dict[str, Tensor], plain: set[str], start: str) -> dict[str, Tensor]:
        """The attention's tensors at one spot, by their keys below it."""
        replaces = self.place == "replace"
        return {
            key.removeprefix(start): value
            for key, value in state.items()
            if key.startswith(start) and (replaces or key not in plain)
        }

    def explains(self, keys: set[str]) -> bool:
        return all(key.startswith(tuple(self.starts)) for key in keys)

    @property
    def label(self) -> str:
        """The last part of what the keys begin with, such as eca."""
        return self.starts[0].removesuffix(".").rpartition(".")[2]


def recognise_block(row: ForeignRow) -> BlockFound | None:
    """Recognise a block with attention inside it.

    Args:
        row: of the foreign network.

    Returns:
        The plain block's row and the tensors under our names; None for a plain block, for tensors
        that are ours already, and for any that are not recognised.

    Raises:
        UserError: The row has attention whose place or use its keys do not tell.
    """
    is_ours = any(part in OWN_NAMES for key in row.state for part in key.split("."))
    if is_ours or len(row.state) > MOST_ROW_TENSORS:
        return None
    for trial in filter(None, (try_block(row, base) for base in bases_of(row))):
        if trial.state.keys() == trial.plain_keys():
            return _without_tensors(trial)
        found = _recognise(trial)
        if found:
            return found
    return None


def _recognise(trial: Trial) -> BlockFound | None:
    """The row as one of the block of a trial, or None if that does not explain its keys."""
    plain = trial.plain_keys()
    extra, missing = trial.state.keys() - plain, plain - trial.state.keys()
    if not extra:
        return None
    for guess in _guesses(trial, extra, missing):
        spots = trial.spots(guess.place)
        if len(spots) != len(guess.starts) or not guess.explains(extra | missing):
            continue
        found = _identify(trial, guess, plain, spots[0].width)
        if found:
            _check_place(trial, guess, found)
            return _result(trial, guess, spots, found)
    return None


def _without_tensors(trial: Trial) -> BlockFound | None:
    """A block of plain keys whose name has attention without parameters, such as C2f_SimAM."""
    row = trial.row
    if not row.name or row.name.base != trial.base:
        return None
    kind, settings = ATTENTION[row.name.attention], dict(trial.settings)
    if not has_tensors(kind.__name__, {}, TRIAL_WIDTH, {}):  # it has some, which are not here
        return None
    block = row.module_at(row.copies[0].removesuffix("."))
    children = members(block, "_modules").values() if block else ()
    if not row.place and any(ATTENTION.get(class_name_of(one)) is kind for one in children):
        settings["place"] = "concat"
    elif not row.place and block is None:
        words = PLACES[str(settings["place"])].words
        print(f"note: {row.where}: {kind.__name__} has no tensors that tell where; taken {words}")
    return BlockFound(trial.base, [*trial.own, settings], dict(row.state))


def _guesses(trial: Trial, extra: set[str], missing: set[str]) -> Iterator[_Guess]:
    """The places that the keys beside the plain block's allow, the likeliest first."""
    if missing:
        yield _Guess("replace", [f"{spot.key}." for spot in trial.spots("replace")])
        return
    inner, stated = trial.bottlenecks(), trial.row.place
    if inner and all(key.startswith(tuple(inner)) for key in extra):
        first = {key.removeprefix(inner[0]) for key in extra if key.startswith(inner[0])}
        holder = next((one for one in HOLDERS if all(key.startswith(one) for key in first)), "")
        place = stated or HOLDERS.get(holder, "branch")
        for head in _heads({key.removeprefix(holder) for key in first}):
            yield _Guess(place, [f"{start}{holder}{head}" for start in inner])
        return
    usual = ("output", "concat", "input") if inner else ("concat", "output", "input")
    for head in _heads(extra):
        places = ("input",) if inner and head[:-1] in ON_INPUT else usual
        for place in (stated,) if stated else places:
            yield _Guess(place, [head])


def _heads(keys: set[str]) -> Iterator[str]:
    """What all keys begin with: nothing, then their common parts one after the other."""
    head = ""
    while True:
        yield head
        parts = {key.removeprefix(head).partition(".")[0] for key in keys}
        if len(parts) != 1 or f"{head}{min(parts)}" in keys:
            return
        head += f"{min(parts)}."


def _identify(trial: Trial, guess: _Guess, plain: set[str], width: int) -> Identified | None:
    """The attention at the first spot, if the others have the same tensors."""
    parts = [guess.part(dict(trial.state), plain, start) for start in guess.starts]
    if any(part.keys() != parts[0].keys() for part in parts):
        return None
    row = trial.row
    path = f"{row.copies[0]}{guess.starts[0]}".removesuffix(".")
    module = row.module_at(path)
    classes = (row.name.attention if row.name else "", class_name_of(module))
    names = tuple(ATTENTION[name].__name__ for name in classes if name in ATTENTION)
    return identify(parts[0], names, width, module or UNKNOWN, row.trials)


def _check_place(trial: Trial, guess: _Guess, found: Identified) -> None:
    """Say what is assumed of the place. Raises UserError where the keys do not tell enough."""
    row, what = trial.row, f"{trial.row.where}: its {found.name} ({guess.starts[0]}*)"
    has_bottlenecks = bool(trial.bottlenecks())
    if trial.base == "Conv" and found.name == "CBAM" and "conv.bias" in trial.state:
        raise UserError(
            f"{what}: is behind a convolution that was fused, and public blocks of this kind leave"
            " the attention out then; save the model before it is fused"
        )
    if row.place or guess.place == "replace":
        return
    if guess.place in ("output", "concat", "input") and has_bottlenecks:
        if guess.label in ANYWHERE:
            raise UserError(
                f"{what}: has keys that do not tell where in the block it acts; {REMEDY}, or state"
                " it in --cfg, such as {place: output}"
            )
        print(f"note: {what} is taken {PLACES[guess.place].words}; its keys do not tell")
    if guess.place == "branch" and guess.label in BEFORE_OR_AFTER:
        print(
            f"note: {what} is taken before the addition; its keys do not tell, and {{place: sum}}"
            " in --cfg is after it"
        )


def _result(trial: Trial, guess: _Guess, spots: list[Spot], found: Identified) -> BlockFound:
    """The row and its tensors, of all its copies."""
    row, plain = trial.row, trial.plain_keys()
    state, paths = dict[str, Tensor](), dict[str, str]()
    for copy in row.copies:
        rest = row.of_copy(copy)
        for start, spot in zip(guess.starts, spots, strict=True):
            part = guess.part(rest, plain, start)
            for key in part:
                del rest[start + key]
            ours = f"{copy}{spot.key}."
            state |= {f"{ours}{key}": value for key, value in found.translate(part).items()}
            paths[ours[:-1]] = f"{copy}{start}".removesuffix(".")
            layers = found.paths() or {
                key.rpartition(".")[0]: key.rpartition(".")[0] for key in part
            }
            paths |= {f"{ours}{one}": f"{copy}{start}{theirs}" for one, theirs in layers.items()}
        state |= {f"{copy}{key}": value for key, value in rest.items()}
    return BlockFound(
        trial.base, [*_own(trial, guess, found), _mapping(trial, guess, found)], state, paths
    )


def _mapping(trial: Trial, guess: _Guess, found: Identified) -> dict[str, object]:
    """The attention of the row, its options from the tensors and, for the others, from the YAML."""
    given = trial.settings
    same = ATTENTION.get(str(given.get("inside"))) is ATTENTION[found.name]
    written = {name: value for name, value in given.items() if same and name not in SETTINGS}
    kept = {name: given[name] for name in ("bottleneck",) if name in given}
    if len(trial.row.copies) > 1 and LAYERS[trial.base].repeats:
        kept["repeat"] = "block"
    return {"inside": found.name, "place": guess.place, **kept, **written, **found.options}


def _own(trial: Trial, guess: _Guess, found: Identified) -> list[Any]:
    """The block's arguments with what its modules show beside them: shortcut and activation."""
    row = trial.row
    if trial.base == "Conv":
        act = row.module_at(f"{row.copies[0]}act")
        text = activation_text(act) if act else ""
        if not act and found.name == "CBAM" and guess.label == "" and len(trial.own) < 7:
            print(f"note: {row.where}: nn.Hardswish() is taken as the activation of such blocks")
            text = "nn.Hardswish()"
        return trial.with_argument("act", text) if text not in ("", "nn.SiLU()") else trial.own
    for start in trial.bottlenecks()[:1]:
        inner = row.module_at(f"{row.copies[0]}{start}".removesuffix("."))
        add = inner.get("add") if inner else None
        if (
            start
            and isinstance(add, bool)
            and trial.block.get_submodule(start[:-1]).residual != add
        ):
            return trial.with_argument("shortcut", add)
    return trial.own
