"""A pickle's opcodes followed one by one; what they name is looked up in a table of ours, never
imported nor called.

A pickle is a program for a small stack machine. This machine knows only those instructions that
saved models need, and hands names, calls and states to a Meanings, of which
models/weights/pickles/allowlist.py has the one that is used. Everything is bounded: instructions,
bytes, open marks, depth. models/weights/pickles/reader.py reads files with it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, Protocol

MOST_BYTES = 2**24  # of a pickle without its tensors: those of YOLO models have 0.1 to 1 million
MOST_STEPS = 500_000  # instructions: a yolov5x6 has 0.1 million, twice that while it trains
MOST_MARKS = 200  # containers begun and not yet ended
MOST_DEPTH = 200  # containers within containers
MOST_BITS = 64  # of a whole number

PUSHES = frozenset(
    {  # their argument is the value
        "BINBYTES",
        "BINBYTES8",
        "BINFLOAT",
        "BININT",
        "BININT1",
        "BININT2",
        "BINSTRING",
        "BINUNICODE",
        "BINUNICODE8",
        "FLOAT",
        "INT",
        "LONG",
        "LONG1",
        "LONG4",
        "SHORT_BINBYTES",
        "SHORT_BINSTRING",
        "SHORT_BINUNICODE",
        "STRING",
        "UNICODE",
    }
)
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
SCALARS = (str, int, float, bool, bytes, type(None))


class Refused(Exception):
    """What a file asks for and does not get, in words that follow the file's name: "names
    os.system, …".
    """


class Meanings(Protocol):
    """What names, calls and states stand for.

    Each method raises Refused for what it does not know.
    """

    def find(self, module: str, name: str) -> Any:
        """What stands for a name."""

    def call(self, callee: Any, arguments: Any) -> Any:
        """What stands for callee(*arguments)."""

    def new(self, kind: Any, arguments: Any) -> Any:
        """What stands for a new object of a class."""

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state."""

    def fetch(self, identity: Any) -> Any:
        """What stands outside of the pickle under an identity: a tensor's storage."""


def shown(text: object) -> str:
    """A name or value of the file, on one line of bearable length."""
    line = ascii(text)[1:-1] if isinstance(text, str) else type(text).__name__
    return line if len(line) <= 80 else line[:77] + "..."


class Machine:
    """One pickle's stack, marks and memo. run() is called once."""

    def __init__(self, meanings: Meanings) -> None:
        self.meanings = meanings
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each open mark
        self.memo: dict[int, Any] = {}
        self.actions: dict[str, Callable[[Any], None]] = {
            "PROTO": self._nothing,
            "FRAME": self._nothing,
            "MARK": self._mark,
            "POP": lambda _: self._drop(),
            "POP_MARK": lambda _: self._drop_marked(),
            "PUT": self._put,
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            "GET": self._get,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "TUPLE": lambda _: self._push(tuple(self._pop_marked())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "LIST": lambda _: self._push(self._pop_marked()),
            "DICT": lambda _: self._push(_pairs(self._pop_marked())),
            "FROZENSET": lambda _: self._push(frozenset(map(as_key, self._pop_marked()))),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._pop_marked()),
            "SETITEM": lambda _: self._update([self._pop(), self._pop()][::-1]),
            "SETITEMS": lambda _: self._update(self._pop_marked()),
            "ADDITEMS": lambda _: self._add(self._pop_marked()),
            "GLOBAL": self._global,
            "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._reduce,
            "NEWOBJ": self._new,
            "BUILD": self._build,
            "BINPERSID": lambda _: self._push(self.meanings.fetch(self._pop())),
        }

    def run(self, program: bytes) -> Any:
        """Follow a pickle to its end and return what it makes. Raises Refused."""
        if len(program) > MOST_BYTES:
            raise Refused(
                f"has {len(program):,} bytes of instructions, and {MOST_BYTES:,} are the most"
            )
        position = 0
        try:
            for count, (opcode, argument, where) in enumerate(pickletools.genops(program)):
                position = where or 0
                if count >= MOST_STEPS:
                    raise Refused(f"has more than {MOST_STEPS:,} instructions")
                if opcode.name == "STOP":
                    break
                self._step(opcode.name, argument)
        except (ValueError, OverflowError) as error:
            raise Refused(
                f"is no sound pickle behind byte {position} ({shown(str(error))})"
            ) from None
        if position + 1 != len(program):
            raise Refused(f"goes on behind its end at byte {position}")
        if len(self.stack) != 1 or self.below:
            raise Refused("ends in the middle of a value")
        _check_depth(self.stack[0])
        return self.stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in PUSHES:
            if type(argument) is int and argument.bit_length() > MOST_BITS:
                raise Refused(
                    f"has a whole number of {argument.bit_length():,} bits, and {MOST_BITS} are the"
                    " most"
                )
            self._push(argument)
        elif name in CONSTANTS:
            self._push(CONSTANTS[name])
        elif name in EMPTY:
            self._push(EMPTY[name]())
        elif name in self.actions:
            self.actions[name](argument)
        else:
            of = "" if argument is None else f" of {shown(str(argument).replace(' ', '.'))}"
            raise Refused(f"has the instruction {name}{of}, which saved models do not need")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _pop(self) -> Any:
        if not self.stack:
            raise Refused("takes a value that is not there")
        return self.stack.pop()

    def _top(self) -> Any:
        if not self.stack:
            raise Refused("reads a value that is not there")
        return self.stack[-1]

    def _nothing(self, _: Any) -> None:
        """Protocol numbers and frames mean nothing here."""

    def _mark(self, _: Any) -> None:
        if len(self.below) >= MOST_MARKS:
            raise Refused(f"begins more than {MOST_MARKS} containers within each other")
        self.below.append(self.stack)
        self.stack = []

    def _pop_marked(self) -> list[Any]:
        if not self.below:
            raise Refused("ends a container that it never began")
        marked, self.stack = self.stack, self.below.pop()
        return marked

    def _drop(self) -> None:
        self._pop()

    def _drop_marked(self) -> None:
        self._pop_marked()

    def _put(self, index: Any) -> None:
        if index in self.memo:
            raise Refused(f"writes entry {index} of its memo twice")
        self.memo[index] = self._top()

    def _get(self, index: Any) -> None:
        if index not in self.memo:
            raise Refused(f"reads entry {index} of its memo, which it never wrote")
        self._push(self.memo[index])

    def _tuple(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._push(tuple(values[::-1]))

    def _extend(self, values: list[Any]) -> None:
        self._of(list).extend(values)

    def _update(self, values: list[Any]) -> None:
        self._of(dict).update(_pairs(values))

    def _add(self, values: list[Any]) -> None:
        self._of(set).update(map(as_key, values))

    def _of(self, kind: type) -> Any:
        """The container on top, which must be of a kind: others have methods of their own for this."""
        target = self._top()
        if type(target) is not kind:
            raise Refused(f"fills a {type(target).__name__} as if it were a {kind.__name__}")
        return target

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push(self.meanings.find(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("has a name that is no text")
        self._push(self.meanings.find(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, callee = self._pop(), self._pop()
        self._push(self.meanings.call(callee, arguments))

    def _new(self, _: Any) -> None:
        arguments, kind = self._pop(), self._pop()
        self._push(self.meanings.new(kind, arguments))

    def _build(self, _: Any) -> None:
        state = self._pop()
        self.meanings.build(self._top(), state)


def as_key(value: Any) -> Any:
    """A value that a dict or set may hold as its key: hashing anything deeper may take for ever.

    Raises Refused.
    """
    flat = type(value) is tuple and len(value) <= 8 and all(type(part) in SCALARS for part in value)
    if not flat and type(value) not in SCALARS:
        raise Refused(f"has a {type(value).__name__} as a key, where text or a number is needed")
    return value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise Refused("has a key without a value")
    return {as_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _check_depth(root: Any) -> None:
    """Refuse containers within containers beyond MOST_DEPTH, along the shortest way to each.

    Raises Refused.
    """
    seen, level = {id(root)}, [root]
    for _ in range(MOST_DEPTH):
        found: list[Any] = []
        for value in level:
            for part in _parts(value):
                if id(part) not in seen:
                    seen.add(id(part))
                    found.append(part)
        if not found:
            return
        level = found
    raise Refused(f"has values more than {MOST_DEPTH} levels deep")


def _parts(value: Any) -> list[Any]:
    inner = getattr(value, "state", value)  # of a record, see models/weights/pickles/allowlist.py
    items = inner.values() if type(inner) is dict else inner if type(inner) in (list, tuple) else ()
    return [part for part in items if type(part) not in SCALARS]
