"""The command line of the scripts that print tables of simulated studies, and their processes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

Rows = list[list[str]]
MakeRows = Callable[..., Rows]  # of the arguments of a job and the number of draws


def simulated_tables(
    description: str,
    makers: Mapping[str, MakeRows],
    jobs_of: Callable[[str], Iterable[tuple[Any, ...]]],
) -> Iterator[tuple[str, Rows]]:
    """Read --draws, --jobs and --tables, and yield each table's name and rows.

    At the end a line says how many draws there were and how long they took.

    Args:
        description: what --help says of the script.
        makers: name of each table -> what makes the rows of one of its jobs.
        jobs_of: name of a table -> the arguments of its jobs.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--draws", type=int, default=10_000, help="studies behind each figure")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--tables", nargs="+", choices=list(makers), default=list(makers))
    flags = parser.parse_args()
    start = time.perf_counter()
    pool = ProcessPoolExecutor(flags.jobs) if flags.jobs > 1 else None
    for table in flags.tables:
        jobs = [(makers[table], arguments, flags.draws) for arguments in jobs_of(table)]
        parts = pool.map(_work, jobs) if pool else map(_work, jobs)
        yield table, [row for part in parts for row in part]
    print(f"\n{flags.draws} draws, {time.perf_counter() - start:.0f} s")


def _work(job: tuple[MakeRows, tuple[Any, ...], int]) -> Rows:
    make, arguments, draws = job
    return make(*arguments, draws)
