"""Compare runs, with figures and tables for a paper: python compare.py runs/train/a runs/train/b

    python compare.py runs/train/plain* runs/train/simam* --labels "YOLOv5n" "YOLOv5n + SimAM"

Runs that differ in seed only are one line and one row, with their mean and standard deviation. A
folder may come from train.py, from val.py, and for its learning curve from YOLOv5 or Ultralytics.
The files go to runs/compare; nothing in the runs' own folders is changed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.compare.settings import COMPARE_LINE
    from utils.opening import open_program

    open_program(COMPARE_LINE)

from engine.compare.costs import measure_networks
from engine.compare.groups import RunGroup, comparability, group_runs
from engine.compare.paper import PaperStyle
from engine.compare.report import write_comparison
from engine.compare.runs import read_run
from engine.compare.settings import COMPARE_LINE, CompareConfig
from engine.compare.table_text import terminal_table
from engine.compare.tables import PaperTable, make_tables
from models.graph.own_files import use_modules
from utils.cli import build
from utils.errors import UserError, run_main
from utils.files import next_folder
from utils.text import printable


@dataclass(frozen=True)
class Comparison:
    """What was compared, its tables and notes, and where the files are."""

    groups: list[RunGroup]
    tables: list[PaperTable]
    notes: list[str]
    folder: Path


def compare(config: CompareConfig) -> Comparison:
    """Read the runs, measure their networks, print the tables and write all files.

    Raises UserError if no run is given, or a folder holds none or a damaged file.
    """
    if not config.runs:
        raise UserError("give the folders of runs: python compare.py runs/train/a runs/train/b")
    runs = [read_run(Path(folder)) for folder in dict.fromkeys(config.runs)]
    groups = group_runs(runs, config.labels, config.each)
    for group in groups:
        print(printable(group.sentence()))
    costs = measure_networks(groups, config)
    tables = make_tables(groups, costs)
    notes = [*comparability(groups), *costs.notes]
    folder = next_folder(config.project, config.name, config.exist_ok)
    style = None if config.noplots else PaperStyle(config.width, config.font_size, config.formats)
    write_comparison(folder, groups, tables, notes, style)
    for table in tables:
        print(f"\n{terminal_table(table)}")
    for note in notes:
        print(f"note: {printable(note)}")
    print(f"Results saved to {folder}")
    return Comparison(groups, tables, notes, folder)


def main(argv: list[str] | None = None) -> Comparison:
    """Read the flags and compare."""
    given = COMPARE_LINE.read(argv)
    use_modules(given.get("modules", ()))
    return compare(build(CompareConfig, given))


if __name__ == "__main__":
    sys.exit(run_main(main))
