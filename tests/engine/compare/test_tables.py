"""The tables hold what the runs hold."""

from __future__ import annotations

import pytest

from engine.compare.costs import MeasuredCosts, NetworkCosts
from engine.compare.groups import Spread, group_runs
from engine.compare.runs import read_run
from engine.compare.tables import PaperTable, make_tables
from tests.engine.compare.material import write_run, write_ultralytics


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PaperTable]:
    folder = tmp_path_factory.mktemp("runs")
    folders = [write_run(folder / f"a{seed}", 0.3 + 0.02 * seed, seed) for seed in range(2)]
    folders += [write_run(folder / "b", 0.4, cfg="b"), write_ultralytics(folder / "u")]
    costs = MeasuredCosts({"a": NetworkCosts(2_000_000, 4.5, 8.0)}, "as measured")
    tables = make_tables(group_runs([read_run(one) for one in folders]), costs)
    return {table.stem: table for table in tables}


def test_scores_are_means_over_seeds_in_percent(found: dict[str, PaperTable]) -> None:
    one, other = found["scores"].rows
    assert (one[0], one[1], other[0], other[1]) == ("a", 2, "b", 1)
    score = one[list(found["scores"].columns).index("mAP50-95")]
    assert isinstance(score, Spread)
    assert (score.mean, score.count) == (pytest.approx(31), 2)
    assert score.deviation == pytest.approx(2**0.5)


def test_classes_are_rows_and_groups_columns(found: dict[str, PaperTable]) -> None:
    table = found["classes"]
    assert list(table.columns) == ["class", "objects", "a", "b"]
    assert [row[:2] for row in table.rows] == [["cat", 4], ["dog & cat", 5]]
    assert table.rows[1][3].mean == pytest.approx(50)  # type: ignore[union-attr]
    assert found["classes_ap50"].rows[1][3].mean == pytest.approx(60)  # type: ignore[union-attr]


def test_sizes_and_costs(found: dict[str, PaperTable]) -> None:
    assert found["sizes"].rows[0][3].mean == pytest.approx(31)  # type: ignore[union-attr]
    assert found["costs"].rows == [["a", 2.0, 4.5, 8.0, 125.0]]
    assert "as measured" in found["costs"].title


def test_costs_of_errors_are_in_points(found: dict[str, PaperTable]) -> None:
    table = found["errors"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["both"].mean == pytest.approx(3.1)  # type: ignore[union-attr]
    assert row["missed"].count == 0  # type: ignore[union-attr]


def test_columns_of_times_are_left_out_where_nothing_was_timed() -> None:
    costs = MeasuredCosts({"a": NetworkCosts(10, 1.0)}, "")
    assert make_tables([], costs) == []
