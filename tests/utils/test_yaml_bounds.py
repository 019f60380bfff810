"""A YAML that stands for more than it holds is refused before it is built."""

from __future__ import annotations

import time

import pytest
import yaml

from utils.yaml_bounds import MOST_NODES, OutOfBounds, check_size


def lists(count: int, entry: str = "x") -> str:
    """count lines, each a list of nine times the one before."""
    first = f"a0: &a0 [{','.join([entry] * 9)}]\n"
    return first + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, count)
    )


def chain(count: int, form: str) -> str:
    first = "a0: &a0 {k: 1}\n"
    return first + "".join(
        f"a{n}: &a{n} {form.format(before=f'*a{n - 1}', number=n)}\n" for n in range(1, count)
    )


BOMBS = {
    "lists of aliases": (lists(10), "stands for more than"),
    "mappings of aliases": (chain(40, "{{x: {before}, y: {before}}}"), "stands for more than"),
    "merges that double": (chain(40, "{{<<: [{before}, {before}]}}"), "stands for more than"),
    "a chain of merges": (chain(3000, "{{<<: {before}, k{number}: 1}}"), "more than 100 levels"),
    "a list that holds itself": ("a: &a [*a]", "repeats itself without end"),
    "a mapping that merges itself": ("a: &a {<<: *a}", "repeats itself without end"),
    "flow lists": ("a: " + "[\n " * 50_000, "more than 100 levels"),
    "flow mappings": ("a: " + "{x: " * 50_000, "more than 100 levels"),
    "indentation": ("".join(" " * n + "a:\n" for n in range(300)), "more than 100 levels"),
    "dashes": ("- " * 5000 + "a", "more than 100 levels"),
    "plainly long": ("a: [" + "x," * 300_000 + "]", "stands for more than"),
}


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", None)])
@pytest.mark.parametrize("name", BOMBS)
def test_a_yaml_bomb_is_refused_within_seconds(name, loader):
    text, message = BOMBS[name]
    if loader is None or (loader is yaml.SafeLoader and name == "plainly long"):
        pytest.skip("libyaml is missing, or the Python parser needs 10 s")
    start = time.monotonic()
    with pytest.raises(OutOfBounds, match=message):
        check_size(yaml.parse(text, Loader=loader))
    assert time.monotonic() - start < 5


def test_aliases_as_people_use_them_are_within_the_bounds():
    used = "a: &a [10,13, 16,30]\nanchors: [*a, *a, *a]\nx: &x {c: *a}\ny: {<<: *x}\nz: {<<: *x}\n"
    check_size(yaml.parse(used))


def test_the_bound_counts_every_alias_as_what_it_stands_for():
    one = 1 + MOST_NODES // 10  # nodes of the list
    text = f"a: &a [{'x,' * (one - 1)}]\n"
    check_size(yaml.parse(text + "b: [" + "*a," * 8 + "]\n"))
    with pytest.raises(OutOfBounds):
        check_size(yaml.parse(text + "b: [" + "*a," * 9 + "]\n"))
