"""The stack machine that interprets the instructions of a pickle without running any code.

A pickle is a program for a small stack machine. This machine knows only the instructions that saved
models need. It hands names, calls and states to a Meanings object; the one that is used is the
Allowlist (utils/pickles/allowlist.py). Instructions, bytes, open marks and nesting are
limited. utils/pickles/reader.py reads files with it.

The usual way would be a subclass of pickle.Unpickler with its own find_class(). But find_class()
only decides which names may be imported. The unpickler then imports and calls them itself: REDUCE
and NEWOBJ call a named function or class with any arguments, BUILD calls __setstate__ or fills
__dict__, and APPENDS calls the methods append and extend of any object. Every allowed class would
have to be safe against all of that, and it would have to be installed, although we want to read
models of programs that are not. Nor does an unpickler limit time, memory or nesting. Here names are
keys of our own tables, calls are our own functions that check their arguments, and objects are
plain values, so there is nothing that a file could import, call or change.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Hashable
from types import MappingProxyType
from typing import Protocol, TypeVar

from utils.pickles.checks import Refused, check_nesting, printable_text
from utils.pickles.objects import Budget

MAX_BYTES = 2**24  # of a pickle without its tensors; those of YOLO models have 0.1 to 1 million
MAX_INSTRUCTIONS = 500_000  # a yolov5x6 has 0.1 million, twice that in a checkpoint of training
MAX_MARKS = 200  # containers that are begun and not yet ended
MAX_BITS = 64  # of an integer

VALUE_OPCODES = frozenset(  # these push their argument
    {
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
CONSTANT_OPCODES = MappingProxyType(
    {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
)
EMPTY_OPCODES: MappingProxyType[str, Callable[[], object]] = MappingProxyType(
    {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
)
Container = TypeVar("Container", list[object], dict[Hashable, object], set[Hashable])


class Meanings(Protocol):
    """The interpretation of a pickle's names, calls and states.

    Each method raises Refused for anything that it does not know.
    """

    def find(self, module: str, name: str) -> object:
        """The value for a name."""

    def call(self, callee: object, arguments: object) -> object:
        """The value for callee(*arguments)."""

    def new(self, kind: object, arguments: object) -> object:
        """The value for a new object of a class."""

    def build(self, target: object, state: object) -> None:
        """Give an object its state."""

    def fetch(self, identity: object) -> object:
        """The object stored outside the pickle under an identity, such as a tensor's storage."""


class Machine:
    """The stack, marks and memo of one pickle. run() is called once."""

    def __init__(self, meanings: Meanings, budget: Budget) -> None:
        self.meanings = meanings
        self.budget = budget
        self.stack: list[object] = []
        self.below: list[list[object]] = []  # the stack under each open mark
        self.memo: dict[object, object] = {}
        self.actions: dict[str, Callable[[object], object]] = {
            "PROTO": self._nothing,
            "FRAME": self._nothing,
            "MARK": self._mark,
            "POP": lambda _: self._pop(),
            "POP_MARK": lambda _: self._pop_marked(),
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
            "DICT": lambda _: self._push(self._pairs(self._pop_marked())),
            "FROZENSET": lambda _: self._push(frozenset(map(self.budget.key, self._pop_marked()))),
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

    def run(self, program: bytes) -> object:
        """Interpret a pickle to its end and return its value. Raises Refused."""
        if len(program) > MAX_BYTES:
            raise Refused(
                f"has {len(program):,} bytes of instructions; at most {MAX_BYTES:,} are read"
            )
        position = 0
        try:
            for count, (opcode, argument, where) in enumerate(pickletools.genops(program)):
                position = where or 0
                if count >= MAX_INSTRUCTIONS:
                    raise Refused(f"has more than {MAX_INSTRUCTIONS:,} instructions")
                if opcode.name == "STOP":
                    break
                self._step(opcode.name, argument)
        except (ValueError, OverflowError, Warning) as error:  # Python may be run with -W error
            reason = printable_text(str(error))
            raise Refused(f"is not a valid pickle after byte {position} ({reason})") from None
        if position + 1 != len(program):
            raise Refused(f"continues after its end at byte {position}")
        if len(self.stack) != 1 or self.below:
            raise Refused("ends in the middle of a value")
        check_nesting(self.stack[0])
        return self.stack[0]

    def _step(self, name: str, argument: object) -> None:
        if name in VALUE_OPCODES:
            if type(argument) is int and argument.bit_length() > MAX_BITS:
                bits = argument.bit_length()
                raise Refused(f"has an integer of {bits:,} bits; at most {MAX_BITS} are read")
            self._push(argument)
        elif name in CONSTANT_OPCODES:
            self._push(CONSTANT_OPCODES[name])
        elif name in EMPTY_OPCODES:
            self._push(EMPTY_OPCODES[name]())
        elif name in self.actions:
            self.actions[name](argument)
        else:
            of = (
                "" if argument is None else f" of {printable_text(str(argument).replace(' ', '.'))}"
            )
            raise Refused(f"has the instruction {name}{of}, which saved models do not need")

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _pop(self) -> object:
        if not self.stack:
            raise Refused("takes a value that is not there")
        return self.stack.pop()

    def _top(self) -> object:
        if not self.stack:
            raise Refused("reads a value that is not there")
        return self.stack[-1]

    def _nothing(self, _: object) -> None:
        """Protocol numbers and frames have no effect here."""

    def _mark(self, _: object) -> None:
        if len(self.below) >= MAX_MARKS:
            raise Refused(f"begins more than {MAX_MARKS} containers within each other")
        self.below.append(self.stack)
        self.stack = []

    def _pop_marked(self) -> list[object]:
        if not self.below:
            raise Refused("ends a container that it never began")
        marked, self.stack = self.stack, self.below.pop()
        return marked

    def _put(self, index: object) -> None:
        # A real pickler writes each entry once, so a second value is a sign of manipulation.
        if index in self.memo:
            raise Refused(f"writes entry {index} of its memo twice")
        self.memo[index] = self._top()

    def _get(self, index: object) -> None:
        if index not in self.memo:
            raise Refused(f"reads entry {index} of its memo, which it never wrote")
        self._push(self.memo[index])

    def _tuple(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._push(tuple(values[::-1]))

    def _extend(self, values: list[object]) -> None:
        self._container(list).extend(values)

    def _update(self, values: list[object]) -> None:
        self._container(dict).update(self._pairs(values))

    def _add(self, values: list[object]) -> None:
        self._container(set).update(map(self.budget.key, values))

    def _container(self, kind: type[Container]) -> Container:
        """The container on top of the stack.

        It must be of exactly this type, so that no other object's method is ever called.
        """
        target = self._top()
        if type(target) is kind:
            return target
        raise Refused(f"fills a {type(target).__name__} as if it were a {kind.__name__}")

    def _global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._push(self.meanings.find(module, name))

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("has a name that is not text")
        self._push(self.meanings.find(module, name))

    def _reduce(self, _: object) -> None:
        arguments, callee = self._pop(), self._pop()
        self._push(self.meanings.call(callee, arguments))

    def _new(self, _: object) -> None:
        arguments, kind = self._pop(), self._pop()
        self._push(self.meanings.new(kind, arguments))

    def _build(self, _: object) -> None:
        state = self._pop()
        self.meanings.build(self._top(), state)

    def _pairs(self, values: list[object]) -> dict[Hashable, object]:
        if len(values) % 2:
            raise Refused("has a key without a value")
        keys = map(self.budget.key, values[::2])
        return dict(zip(keys, values[1::2], strict=True))
