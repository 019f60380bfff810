"""Rows of a person's classes: each class gets a subclass that a graph can build and measure.

The subclass builds the person's object and takes over all that it holds, so state-dict keys, EMA,
fusing and export see what the person wrote. What it adds is the meta device, where a graph is
measured before anything is allocated: code that cannot run there runs on small maps of the CPU.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from models.own.guard import Attempt, in_words
from models.own.registry import OwnClass, own_class
from models.own.source import OwnFile
from utils.errors import UserError
from utils.text import shown

Maps: TypeAlias = Tensor | list[Tensor]  # what a row reads
LONGEST_CALL = 120  # characters


class OwnModule(nn.Module):
    """What all rows of own classes have in common; see own_kind().

    Attributes:
        own: the person's class and its file.
        made_by: the function that makes the class of it.
        joins_sizes: rows of own classes may read maps of several sizes.
        own_call: the arguments that the person's constructor got.
    """

    own: ClassVar[OwnClass]
    made_by: ClassVar[Any]
    joins_sizes = True
    own_call: tuple[tuple[object, ...], dict[str, object]]

    def __init__(self, *args: object, **options: object) -> None:
        built = construct(self.own, args, options)
        nn.Module.__init__(self)
        # A person's constructor may name its class as self.__class__, so it gets an object of
        # exactly that class.
        vars(self).update(vars(built))
        vars(self)["own_call"] = (args, options)

    def forward(self, x: Maps) -> Tensor:
        """[B, C, H, W], or a list of such -> [B, C', H', W'], as the person wrote it."""
        first = x[0] if isinstance(x, list) else x
        return self._on_meta(x) if first.is_meta else self.run(x)

    def run(self, x: Maps) -> Tensor:
        """The person's own forward. [B, C, H, W] -> [B, C', H', W']."""
        out: Tensor = self.own.person.forward(self, x)
        return out

    def _on_meta(self, x: Maps) -> Tensor:
        """The output's shape; code that fails without data is run on zeros of the CPU."""
        attempt, again = Attempt(), Attempt()
        with attempt, torch.device("meta"):
            return self._checked(self.run(x))
        maps = x if isinstance(x, list) else [x]
        zeros = [torch.zeros(one.shape, dtype=one.dtype, device="cpu") for one in maps]
        twin = self._twin()
        with again, torch.no_grad(), torch.device("cpu"):
            out = self._checked(twin.run(zeros if isinstance(x, list) else zeros[0]))
            return torch.empty(out.shape, dtype=out.dtype, device="meta")
        error = again.error or attempt.error
        assert error is not None
        if isinstance(error, UserError):
            raise error
        shapes = " and ".join("x".join(map(str, one.shape)) for one in maps)
        raise fault(self.own, f"forward of {shapes}", error) from error

    def _twin(self) -> OwnModule:
        """The same module with values, for a moment."""
        # Its construction is no part of what the modes around it count.
        with _disable_current_modes(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return type(self).of_call(*self.own_call).eval()

    def __reduce__(self) -> tuple[Any, ...]:
        # The class was made at run time, so pickles and copies name what it was made from.
        return _empty, (self.made_by, self.own.person, self.own.file), vars(self)

    @classmethod
    def of_call(cls, args: Sequence[object], options: Mapping[str, object]) -> OwnModule:
        """A module whose person's constructor gets exactly these arguments."""
        return own_kind(cls.own)(*args, **options)

    def _checked(self, out: object) -> Tensor:
        """The output, if it is one map."""
        if isinstance(out, Tensor) and out.dim() == 4:
            return out
        found = f"{list(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise UserError(
            f"{self.own.file.name}: {self.own.name}.forward gives {found}, but a row gives one map"
            " [B, C, H, W]; return that alone"
        )


@cache
def own_kind(own: OwnClass) -> type[OwnModule]:
    """The class that rows build, with the constructor's own arguments."""
    return type(own.name, (OwnModule, own.person), class_body(own, own_kind))


def class_body(own: OwnClass, made_by: Callable[[OwnClass], type[OwnModule]]) -> dict[str, Any]:
    """What the subclass of a person's class says about itself."""
    names = {"__module__": own.file.path.stem, "__doc__": own.person.__doc__}
    return {"own": own, "made_by": staticmethod(made_by), **names}


def _empty(make: Callable[[OwnClass], type[OwnModule]], person: Any, file: OwnFile) -> OwnModule:
    """A module of a pickle or copy, before it gets its attributes."""
    kind = make(own_class(person, file))
    return kind.__new__(kind)


def construct(own: OwnClass, args: Sequence[object], options: Mapping[str, object]) -> nn.Module:
    """Call the person's constructor; on the meta device, or else on the CPU and then move it there.

    Raises UserError, naming file, class, arguments and signature, for whatever it raises.
    """
    attempt, again = Attempt(), Attempt()
    with attempt:
        return own.person(*args, **options)
    if torch.get_default_device().type == "meta":
        # Such as a constructor that reads numbers from a tensor, which has none there.
        with again, torch.random.fork_rng(devices=[]), torch.device("cpu"):
            built = own.person(*args, **options)
            return built.to("meta")
    error = again.error or attempt.error
    assert error is not None
    raise fault(own, "", error, call_text(args, options)) from error


def call_text(args: Sequence[object], options: Mapping[str, object]) -> str:
    """Arguments as a call shows them, such as `(64, heads=8)`."""
    named = (f"{name}={shown(value)}" for name, value in options.items())
    text = ", ".join([*map(shown, args), *named])
    return f"({text[:LONGEST_CALL]}{'…' if len(text) > LONGEST_CALL else ''})"


def fault(own: OwnClass, what: str, error: BaseException, call: str = "") -> UserError:
    """The error for an exception in a person's class.

    Args:
        own: the class.
        what: failed; "" for the construction.
        error: the exception.
        call: the arguments of the construction.
    """
    doing = f".{what}" if what else call
    return UserError(
        f"{own.file.name}: {own.name}{doing}: {in_words(error, own.file.path)}; its constructor"
        f" takes {own.signature}"
    )


def used_files(network: nn.Module) -> list[dict[str, object]]:
    """For a checkpoint: the files whose classes a network has, with their SHA-256 and the names."""
    owns = _owns(network)
    return [
        {
            "file": file.name,
            "sha256": file.sha256,
            "classes": sorted({own.name for own in owns if own.file == file}),
        }
        for file in dict.fromkeys(own.file for own in owns)
    ]


def modules_flag(network: nn.Module) -> str:
    """` --modules FILE.py` for commands that are to load a network, "" if it has no own classes."""
    paths = dict.fromkeys(str(own.file.path) for own in _owns(network))
    return f" --modules {shlex.join(paths)}" if paths else ""


def _owns(network: nn.Module) -> list[OwnClass]:
    return [one.own for one in network.modules() if isinstance(one, OwnModule)]


def output_shape(
    own: OwnClass,
    args: Sequence[object],
    options: Mapping[str, object],
    shapes: Sequence[Sequence[int]],
    as_list: bool = False,
) -> torch.Size:
    """The shape of what a class gives for maps of these shapes, found without data.

    Args:
        own: the class.
        args, options: of its constructor.
        shapes: [B, C, H, W] of each map.
        as_list: whether forward gets the list of the maps, else the first.

    Raises:
        UserError: The constructor or forward fails.
    """
    with torch.device("meta"), torch.no_grad():
        maps = [torch.empty(*shape) for shape in shapes]
        module = own_kind(own)(*args, **options).eval()
        out: Tensor = module(maps if as_list else maps[0])
    return out.shape
