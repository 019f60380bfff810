"""Damage to the text of a YAML: bits, lines, numbers, indentation, as disks and editors do it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def flip_bits(data: bytes, draw: random.Random) -> bytes:
    """One to four bits are inverted."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut_off(data: bytes, draw: random.Random) -> bytes:
    """The end is missing."""
    return data[: draw.randrange(len(data))]


def lose_a_line(data: bytes, draw: random.Random) -> bytes:
    """A line is missing."""
    lines = data.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    return b"".join(lines)


def double_a_line(data: bytes, draw: random.Random) -> bytes:
    """A line stands twice."""
    lines = data.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place:]])


def swap_lines(data: bytes, draw: random.Random) -> bytes:
    """Two lines stand in each other's place."""
    lines = data.splitlines(keepends=True)
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def insert_bytes(data: bytes, draw: random.Random) -> bytes:
    """One to four bytes are inserted, half of them signs of YAML."""
    place = draw.randrange(len(data))
    count = draw.randint(1, 4)
    signs = bytes(draw.choice(b"[]{}:,-#&*!|>'\"%@`\t\n\0 ?<=~") for _ in range(count))
    return data[:place] + (signs if draw.random() < 0.5 else draw.randbytes(count)) + data[place:]


def change_a_number(data: bytes, draw: random.Random) -> bytes:
    """A number is another one, perhaps an impossible one."""
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return data
    one = draw.choice(found)
    new = draw.choice(
        (b"0", b"-1", b"7", b"99999999999999999999", b"1e9", b".nan", b"1:2:3", b"08")
    )
    return data[: one.start()] + new + data[one.end() :]


def change_an_indent(data: bytes, draw: random.Random) -> bytes:
    """A line is indented by a few blanks or a tab more."""
    lines = data.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    lines[place] = draw.choice((b" ", b"  ", b"\t", b"   ")) + lines[place]
    return b"".join(lines)


DAMAGES: tuple[Damage, ...] = (
    flip_bits,
    cut_off,
    lose_a_line,
    double_a_line,
    swap_lines,
    insert_bytes,
    change_a_number,
    change_an_indent,
)


def damaged(data: bytes, number: int) -> bytes:
    """The number-th damaged copy of a text, always the same one."""
    draw = random.Random(number)
    return DAMAGES[number % len(DAMAGES)](data, draw)
