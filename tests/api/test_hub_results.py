"""Results of the torch.hub models: forms of boxes, tables, files, images in RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hubconf
from api.hub_results import HubResults
from tests.api.conftest import NAMES
from tests.api.hub import noise_image


@pytest.fixture
def results(weights: Path) -> HubResults:
    model = hubconf.custom(weights)
    model.conf = 0.3
    return model([noise_image(), noise_image(80, 60)], size=64)


def test_forms_agree(results):
    assert len(results) == results.n == 2
    for number, (height, width) in enumerate([(60, 90), (80, 60)]):
        rows = results.xyxy[number]
        assert rows.shape[1] == 6
        assert len(rows) > 0
        sides = torch.tensor([width, height, width, height])
        torch.testing.assert_close(results.xyxyn[number][:, :4] * sides, rows[:, :4])
        centre, size = results.xywh[number][:, :2], results.xywh[number][:, 2:4]
        torch.testing.assert_close(
            torch.cat((centre - size / 2, centre + size / 2), 1), rows[:, :4]
        )
        torch.testing.assert_close(
            results.xywhn[number][:, :4] * sides, results.xywh[number][:, :4]
        )
        assert torch.equal(results.xywhn[number][:, 4:], rows[:, 4:])
    assert results.pred is results.xyxy


def test_tables(results):
    tables = results.pandas()
    table = tables.xyxy[0]
    assert list(table.columns) == ["xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"]
    assert list(tables.xywhn[0].columns)[:4] == ["xcenter", "ycenter", "width", "height"]
    rows = results.xyxy[0]
    assert np.allclose(
        table[["xmin", "ymin", "xmax", "ymax", "confidence"]].to_numpy(), rows[:, :5].numpy()
    )
    assert table["class"].tolist() == rows[:, 5].long().tolist()
    assert table["name"].tolist() == [NAMES[int(number)] for number in rows[:, 5]]
    assert len(tables.xyxy) == 2


def test_output(results, tmp_path, capsys):
    results.print()
    out = capsys.readouterr().out
    assert out == f"{results}\n"
    assert out.startswith("image 1/2: 60x90 ")
    assert "Speed: " in out
    assert results.save(save_dir="out/a") == Path("out/a")
    assert sorted(path.name for path in Path("out/a").iterdir()) == ["image0.jpg", "image1.jpg"]
    crops = results.crop(save_dir="out/b")
    assert (
        len(crops) == sum(map(len, results.xyxy)) == len(list(Path("out/b/crops").rglob("*.jpg")))
    )
    assert set(crops[0]) == {"box", "conf", "cls", "label", "im"}
    assert len(results.crop(save=False)) == len(crops)
    results.show()


def test_render_is_rgb(results):
    assert np.array_equal(results.ims[0], noise_image())
    drawn = results.render()
    assert drawn[0] is results.ims[0]
    assert (drawn[0] != noise_image()).any()


def test_lists(results):
    parts = results.tolist()
    assert [part.n for part in parts] == [1, 1]
    assert torch.equal(parts[1].xyxy[0], results.xyxy[1])
    assert [part.n for part in results] == [1, 1]
