"""Files in the style of forks build, learn, fuse and load; files.txt holds them.

Each begins with `=== name | dialect | rows | channels that the last row gives`.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from models.graph.own_files import use_modules
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.hyperparameters import Hyperparameters

PX = 64
TARGETS = torch.tensor([[0.0, 1, 10, 10, 40, 50], [1.0, 0, 5, 5, 30, 30]])


class ForkFile(NamedTuple):
    name: str
    dialect: str
    rows: list[list[Any]]
    channels: int
    text: str


def read_files() -> list[ForkFile]:
    content = Path(__file__).with_name("files.txt").read_text(encoding="utf-8")
    found = []
    for part in content.split("=== ")[1:]:
        head, _, text = part.partition("\n")
        name, dialect, rows, channels = (word.strip() for word in head.split("|"))
        read = yaml.safe_load(rows)
        is_one = not all(isinstance(row, list) and len(row) == 4 for row in read)
        found.append(ForkFile(name, dialect, [read] if is_one else read, int(channels), text))
    return found


FILES = read_files()


def graph_of(file: ForkFile) -> dict[str, Any]:
    """Two convolutions, to 64 channels at stride 4, the rows of the file, two levels, a head."""
    conv = [-1, 1, "Conv", [256, 3, 2]]
    last = len(file.rows) + 2
    backbone = [[-1, 1, "Conv", [128, 6, 2, 2]], conv, *file.rows, conv, conv]
    anchors = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]]
    if file.dialect == "v5":
        scale = {"depth_multiple": 0.33, "width_multiple": 0.25, "anchors": anchors}
        head: list[Any] = ["nc", "anchors"]
    else:
        depth = 0.5 if file.dialect == "v11" else 0.33
        scale, head = {"scales": {"n": [depth, 0.25, 1024]}, "scale": "n"}, ["nc"]
    row = [[last, last + 1], 1, "Detect", head]
    return copy.deepcopy({"nc": 2, **scale, "backbone": backbone, "head": [row]})


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> DetectionModel:
    """The network, after a step of training."""
    file: ForkFile = request.param
    path = tmp_path / f"{file.name}.py"
    path.write_text(file.text)
    use_modules(path)
    network = DetectionModel(graph_of(file))
    assert network.model[len(file.rows) + 2].conv.in_channels == file.channels
    learn(network)
    return network


def learn(network: DetectionModel) -> None:
    before = copy.deepcopy(network.state_dict())
    hyp = Hyperparameters() if network.family.has_anchors else Hyperparameters(box=7.5)
    loss = build_loss(network.spec, hyp, PX)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    total, _ = loss(network.train()(images()), TARGETS, (PX, PX))
    total.backward()
    optimizer.step()
    assert torch.isfinite(total)
    assert any(not torch.equal(before[key], value) for key, value in network.state_dict().items())


def images() -> torch.Tensor:
    return torch.rand(2, 3, PX, PX, generator=torch.Generator().manual_seed(1))


def test_a_file_of_a_fork(model: DetectionModel) -> None:
    with torch.no_grad():
        expected = model.eval()(images())[0]
        loaded = DetectionModel(copy.deepcopy(model.graph)).eval()
        loaded.load_state_dict(model.state_dict())
        fused = copy.deepcopy(model).fuse()
        torch.testing.assert_close(loaded(images())[0], expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(fused(images())[0], expected, rtol=1e-3, atol=1e-2)
