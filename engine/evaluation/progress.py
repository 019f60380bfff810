"""The progress bar of an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from utils.structures import Batch
from utils.tables import val_header
from utils.terminal import is_terminal


def with_progress_bar(loader: Iterable[Batch], quiet: bool) -> Iterator[Batch]:
    """Yield the batches under a progress bar with the table's columns as its heading.

    Where the output is not a terminal, only the heading is printed.
    """
    from tqdm import tqdm

    shown = is_terminal(sys.stderr) and not quiet
    # The bar goes to stderr with the heading as its description. Print the heading to stdout too,
    # unless both streams are terminals.
    if not quiet and not (shown and is_terminal(sys.stdout)):
        print(val_header())
    form = "{l_bar}{bar:10}{r_bar}"
    yield from tqdm(loader, desc=val_header(), disable=not shown, bar_format=form)
