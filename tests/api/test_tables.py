"""Tables of rows as pandas.DataFrame, CSV and JSON."""

from __future__ import annotations

import json

from api.tables import Tables


class Rows(Tables):
    columns = ("=name", "score")

    def __init__(self, *rows: dict[str, object]) -> None:
        self.rows = rows

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, object]]:
        return [{**row, "score": round(float(str(row["score"])), decimals)} for row in self.rows]


def test_tables_have_the_rows_of_the_summary() -> None:
    rows = Rows({"=name": "=a", "score": 0.123}, {"=name": "猫", "score": -1})
    assert rows.to_df(decimals=1)["score"].tolist() == [0.1, -1]
    assert json.loads(rows.to_json()) == rows.summary()
    assert "猫" in rows.to_json()


def test_no_cell_of_a_csv_is_a_formula() -> None:
    rows = Rows({"=name": "=a", "score": 0.123}, {"=name": "猫", "score": -1})
    assert rows.to_csv().splitlines() == ["'=name,score", "'=a,0.123", "猫,-1.0"]
    assert rows.to_df()["=name"][0] == "=a"


def test_a_table_without_rows_has_its_columns() -> None:
    assert list(Rows().to_df().columns) == ["=name", "score"]
    assert Rows().to_csv() == "'=name,score\n"
