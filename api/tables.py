"""Tables of scores and detections, under the names that Ultralytics' users know."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from utils.text import csv_cell

if TYPE_CHECKING:
    from pandas import DataFrame


class Tables(ABC):
    """A base class of what has a summary(): it gives the rows as pandas.DataFrame, CSV and JSON.

    Attributes:
        columns: names of the columns of a table without rows.
    """

    columns: tuple[str, ...] = ()

    @abstractmethod
    def summary(self, normalize: bool = False, decimals: int = 5) -> Sequence[Mapping[str, object]]:
        """List the rows as plain values, rounded to `decimals` decimals."""

    def to_df(self, normalize: bool = False, decimals: int = 5) -> DataFrame:
        """summary() as a pandas.DataFrame."""
        from pandas import DataFrame

        rows = self.summary(normalize, decimals)
        return DataFrame(list(rows), columns=[*(rows[0] if rows else self.columns)])

    def to_csv(self, normalize: bool = False, decimals: int = 5) -> str:
        """summary() as CSV text; a text that a spreadsheet would take for a formula is quoted."""
        table = self.to_df(normalize, decimals)
        for name in table.columns:
            table[name] = [
                csv_cell(value) if isinstance(value, str) else value for value in table[name]
            ]
        return str(table.rename(columns=csv_cell).to_csv(index=False))

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """summary() as JSON."""
        return json.dumps(self.summary(normalize, decimals), indent=2, ensure_ascii=False)
