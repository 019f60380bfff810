"""Record what the programs do, to prove that a refactoring changes nothing that a user sees.

    python -m bench.behaviour --out old.json        # before the change
    python -m bench.behaviour --against old.json    # after it; status 1 if anything differs

Only command lines and files are used, so that moving a module does not affect the record. Weights,
results, keys, files and exit statuses must be identical. Texts, which are messages and --help, may
differ and are shown as diffs; --strict makes them fail too. Weights and results depend on the
processor and on the versions of the libraries, so they are only compared on the machine that made
the record.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.behaviour.commands import commands, measure_commands
from bench.behaviour.runs import RUNS, measure_runs, prepare
from bench.behaviour.sandbox import FIXED, Sandbox, graph_files

Record = dict[str, Any]
Entries = dict[str, dict[str, Any]]
SECTIONS = ("weights", "results", "keys", "files", "status", "text")
MACHINE_BOUND = ("weights", "results")
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python", "pandas", "faster-coco-eval")
ABSENT = "(not there)"


def measure_graphs(sandbox: Sandbox, jobs: int) -> Iterator[tuple[str, Entries]]:
    """Yield the entries of each graph file; one process reads them all, so jobs is not used."""
    lines = sandbox.stream(["-m", "bench.behaviour.graphs"], "graphs")
    for path, line in zip(graph_files(), lines, strict=True):
        yield path.stem, json.loads(line)


PARTS: dict[
    str, tuple[Callable[[Sandbox, int], Iterator[tuple[str, Entries]]], Callable[[], int]]
] = {
    "graphs": (measure_graphs, lambda: len(graph_files())),
    "commands": (measure_commands, lambda: len(commands()) + 1),
    "runs": (measure_runs, lambda: len(RUNS)),
}  # name -> function that measures the part, and function that counts its steps


def describe_machine() -> dict[str, str]:
    """What results depend on besides the code: processor, versions and the number of threads."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""
    )
    found = {
        "processor": model or platform.processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    installed = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    versions = {name: installed.get(name, ABSENT) for name in PACKAGES}
    return {**found, **versions, "threads": FIXED["OMP_NUM_THREADS"]}


def measure(parts: Sequence[str], jobs: int) -> Record:
    """Return the record: {"machine": …, "parts": {part: {section: {name: value}}}}."""
    from tqdm import tqdm

    record: Record = {"machine": describe_machine(), "parts": {}}
    with tempfile.TemporaryDirectory(prefix="behaviour-") as folder:
        sandbox = Sandbox(Path(folder).resolve())
        if set(parts) != {"graphs"}:  # graphs need no inputs
            prepare(sandbox)
        with tqdm(total=sum(PARTS[part][1]() for part in parts), dynamic_ncols=True) as bar:
            for part in parts:
                record["parts"][part] = {section: {} for section in SECTIONS}
                for name, entries in PARTS[part][0](sandbox, jobs):
                    bar.set_description(f"{part}: {name[-40:]}")
                    bar.update()
                    for section, values in entries.items():
                        record["parts"][part][section].update(values)
    return record


def differences(old: Record, new: Record) -> list[tuple[str, str, Any, Any]]:
    """Return (section, name, old value, new value) of every entry that differs in shared parts."""
    found = []
    for part in shared_parts(old, new):
        before, after = old["parts"][part], new["parts"][part]
        for section in SECTIONS:
            one, other = before.get(section, {}), after.get(section, {})
            for name in dict.fromkeys([*one, *other]):
                pair = one.get(name, ABSENT), other.get(name, ABSENT)
                if pair[0] != pair[1]:
                    found.append((section, name, *pair))
    return found


def shared_parts(old: Record, new: Record) -> list[str]:
    """The parts that both records have."""
    return [part for part in PARTS if part in old["parts"] and part in new["parts"]]


def compare(old: Record, new: Record, strict: bool = False) -> int:
    """Print what differs between two records; return the exit status.

    Args:
        old: the record made before the change.
        new: the record made after it.
        strict: whether texts that differ, and entries that could not be compared, fail too.

    Returns:
        0 if nothing differs that must be identical, else 1.
    """
    found = differences(old, new)
    skipped = print_limits(old, new)
    moved = [each for each in found if each[0] == "text"]
    wrong = [
        each for each in found if each[0] != "text" and not (skipped and each[0] in MACHINE_BOUND)
    ]
    for _, name, before, after in moved:
        print("\n" + diff(name, before, after))
    print_table(wrong)
    counts = {
        section: sum(len(old["parts"][part].get(section, {})) for part in shared_parts(old, new))
        for section in SECTIONS
    }
    print("compared: " + ", ".join(f"{count} {section}" for section, count in counts.items()))
    print(f"{len(wrong)} entries differ that must be identical; {len(moved)} texts differ")
    # Records without a common part prove nothing, so they count as different.
    return int(bool(wrong) or not shared_parts(old, new) or (strict and bool(moved or skipped)))


def print_limits(old: Record, new: Record) -> bool:
    """Print what cannot be compared. Returns whether weights and results are skipped."""
    for part in PARTS:
        if part not in shared_parts(old, new):
            print(f"NOT COMPARED, since a record lacks this part: {part}")
    pairs = {key: (old["machine"].get(key), new["machine"].get(key)) for key in new["machine"]}
    other = [f"{key} {one} / {two}" for key, (one, two) in pairs.items() if one != two]
    if other:
        print("WEIGHTS AND RESULTS CANNOT BE COMPARED: the records are of different machines:")
        print(*(f"    {each}" for each in other), sep="\n")
    return bool(other)


def diff(name: str, before: Any, after: Any) -> str:
    """A unified diff of two texts."""
    sides = (str(before).splitlines(), str(after).splitlines())
    return "\n".join(difflib.unified_diff(*sides, f"old: {name}", f"new: {name}", n=1, lineterm=""))


def print_table(rows: Sequence[tuple[str, str, Any, Any]]) -> None:
    """Print a row for each entry that must be identical and is not; long values as diffs."""
    for section, name, before, after in rows:
        print(f"\nDIFFERS  {section:8} {name}")
        if "\n" in f"{before}{after}":
            print(diff(name, before, after))
        else:
            print(f"    old: {before}\n    new: {after}")


def parse_flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, help="file to write the record to")
    parser.add_argument("--against", type=Path, help="record to compare with")
    parser.add_argument("--record", type=Path, help="record to use instead of running the programs")
    parser.add_argument(
        "--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="what to run"
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail if a text differs, or cannot be compared"
    )
    parser.add_argument(
        "--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="programs at a time"
    )
    flags = parser.parse_args(argv)
    if not (flags.out or flags.against):
        parser.error("give --out or --against, or both")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    flags = parse_flags(argv)
    old = json.loads(flags.against.read_text()) if flags.against else None
    new = json.loads(flags.record.read_text()) if flags.record else measure(flags.parts, flags.jobs)
    if flags.out:
        flags.out.write_text(json.dumps(new, indent=1))
    return compare(old, new, flags.strict) if old else 0


if __name__ == "__main__":
    sys.exit(main())
