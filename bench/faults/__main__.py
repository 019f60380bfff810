"""Run the campaigns of faults, each in a process of its own, and print which held.

python -m bench.faults             # all cases: hours on one core
python -m bench.faults --quick     # a tenth of them
python -m bench.faults kills disk  # these two
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec

from bench.faults.common import Row
from utils.files import ROOT
from utils.tables import format_seconds, text_table

CAMPAIGNS = (
    "kills",
    "disk",
    "stops",
    "checkpoints",
    "yaml_files",
    "labels",
    "images",
    "many_images",
    "threads",
)


def flags_of(name: str, quick: bool) -> list[str]:
    """The flags of a campaign: a tenth of its COUNT if quick and it has one, else none."""
    module = f"bench.faults.{name}"
    if not quick or find_spec(module) is None:  # a campaign that is not there fails when it starts
        return []
    count = getattr(importlib.import_module(module), "COUNT", None)
    return ["--count", str(max(count // 10, 1))] if count else []


def run_one(name: str, quick: bool) -> Row:
    """Run a campaign, which prints its own table; return its row of the common table."""
    print(f"\n── {name}", flush=True)
    start = time.monotonic()
    command = [sys.executable, "-m", f"bench.faults.{name}", *flags_of(name, quick)]
    status = subprocess.run(command, cwd=ROOT).returncode
    time_taken = format_seconds(time.monotonic() - start)
    return {"campaign": name, "status": status, "time": time_taken, "held": status == 0}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"campaigns: {', '.join(CAMPAIGNS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    flags = parser.parse_args(argv)
    unknown = set(flags.names) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    rows = [run_one(name, flags.quick) for name in flags.names or CAMPAIGNS]
    print("\n" + text_table(list(rows[0]), [list(row.values()) for row in rows]))
    return int(not all(row["held"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
