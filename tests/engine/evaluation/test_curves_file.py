"""curves.npz holds the curves, and a damaged or hostile one is refused in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.curves_file import read_curves, write_curves
from engine.evaluation.metrics import Evaluation
from utils.errors import UserError
from utils.structures import Metrics

NAMES = {0: "red", 1: "green", 2: "蓝"}


def scored() -> Metrics:
    """The scores of one image: class 0 is found, class 2 is not, class 1 has no label."""
    evaluation = Evaluation(3)
    labels = np.array([[0, 0, 0, 10, 10], [2, 20, 20, 40, 40]], np.float32)
    found = np.array([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.3, 2]], np.float32)
    evaluation.add(found, labels)
    return evaluation.result(NAMES)


def test_curves_are_read_back_as_they_were(tmp_path: Path) -> None:
    metrics = scored()
    write_curves(tmp_path, metrics)
    found, wanted = read_curves(tmp_path / "curves.npz"), metrics.details.curves
    assert found.names == ("red", "蓝")
    assert np.array_equal(found.ap, wanted.ap)
    assert np.array_equal(found.pr, wanted.pr_curve.astype(np.float32))
    assert found.pr[0].min() == 0 < found.pr[0].max()
    assert [path.name for path in tmp_path.iterdir()] == ["curves.npz"]


def test_numpy_alone_reads_every_entry(tmp_path: Path) -> None:
    metrics = scored()
    write_curves(tmp_path, metrics)
    with np.load(tmp_path / "curves.npz", allow_pickle=False) as found:
        assert found["classes"].tolist() == [0, 2]
        assert found["instances"].tolist() == [1, 1]
        assert found["pr_mean"] == pytest.approx(found["pr"].mean(0))
        assert found["confidences"][[0, -1]].tolist() == [0, 1]
        # Recall at the lowest confidence: class 0 is found, class 2 is not.
        assert found["recall"][:, 0].tolist() == [1, 0]
        assert found["f1"][0, found["best"]] == pytest.approx(1)


def test_a_set_without_labels_has_empty_curves(tmp_path: Path) -> None:
    write_curves(tmp_path, Evaluation(3).result(NAMES))
    assert read_curves(tmp_path / "curves.npz").pr.shape == (0, 1000)


def archive(path: Path, **arrays: bytes | np.ndarray) -> Path:
    """A curves.npz of these entries, the others as they should be."""
    usual = {"names": np.array(["a"]), "ap": np.zeros((1, 10)), "pr": np.zeros((1, 1000))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, values in {**usual, **arrays}.items():
            buffer = io.BytesIO()
            if isinstance(values, bytes):
                buffer.write(values)
            else:
                np.lib.format.write_array(buffer, values)
            file.writestr(f"{name}.npy", buffer.getvalue())
    return path


def header(shape: str) -> bytes:
    """The beginning of an array of floats, which claims this shape."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.encode()


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"ap": np.array([[None] * 10])}, "does not hold what its header says"),
        ({"ap": header("(1000000000, 1000000)") + bytes(80)}, "what its header says"),
        ({"ap": np.zeros((2, 10))}, r"`ap` is not \[1, 10\] floats"),
        ({"pr": np.full((1, 1000), np.nan)}, r"`pr` has values outside 0\.\.1"),
        ({"names": np.zeros(1)}, "no list of names"),
        ({"pr": b"nothing"}, "magic string"),
    ],
)
def test_a_hostile_file_is_refused(
    entries: dict[str, bytes | np.ndarray], reason: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "curves.npz", **entries)
    with pytest.raises(UserError, match=rf"curves\.npz: cannot be read .*{reason}"):
        read_curves(path)


def test_a_torn_or_missing_file_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "curves.npz")
    assert read_curves(path).names == ("a",)
    path.write_bytes(path.read_bytes()[:-40])
    for place in (path, tmp_path / "none.npz"):
        with pytest.raises(UserError, match=rf"{place.name}: cannot be read"):
            read_curves(place)


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.evaluation.curves_file.MOST_UNPACKED", 2**20)
    path = archive(tmp_path / "curves.npz", ap=bytes(2**20 + 1))
    with pytest.raises(UserError, match=r"ap\.npy is larger than 1 MiB"):
        read_curves(path)
