"""Weights for colour and for grey images give the same maps for a grey image."""

from __future__ import annotations

import pytest
import torch

from models.graph.load import load_graph
from models.weights.channels import channels_line, fit_channels
from models.weights.transfer import transfer
from models.yolo import DetectionModel
from tests.tiny import write_free_graph, write_graph
from utils.checkpoint import Checkpoint
from utils.errors import UserError


@pytest.mark.parametrize("write", [write_graph, write_free_graph])
@pytest.mark.parametrize(("theirs", "mine"), [(3, 1), (1, 3)])
def test_a_grey_image_gives_the_same_boxes_after_a_transfer(tmp_path, write, theirs, mine):
    graph = load_graph(write(tmp_path))
    source, target = (
        DetectionModel({**graph, "ch": count}, seed=count) for count in (theirs, mine)
    )
    transfer(target, Checkpoint(source.graph, source.names, source.state_dict()))
    image = torch.rand(1, 1, 64, 64)
    boxes = [
        model.eval()(image.expand(-1, model.channels, -1, -1))[0] for model in (source, target)
    ]
    assert torch.allclose(*boxes, atol=1e-3, rtol=1e-4)


def test_only_numbers_with_a_meaning_for_grey_images_are_fitted():
    kernel = torch.rand(4, 3, 2, 2)
    assert torch.equal(fit_channels(kernel, 1)[:, 0], kernel.sum(1))
    assert fit_channels(kernel, 4) is None
    assert fit_channels(torch.rand(4), 1) is None
    assert channels_line(3, 3) == channels_line(3, 4) == ""
    assert "of the weights: 3, of the model: 1" in channels_line(3, 1)


def test_channels_of_a_model_yaml_is_another_name_of_ch(tmp_path):
    path = write_graph(tmp_path)
    text = path.read_text()
    path.write_text(f"channels: 1\n{text}")
    model = DetectionModel(load_graph(path))
    assert (model.channels, model.graph["ch"]) == (1, 1)
    assert not [line for line in model.warnings if "nothing reads" in line]
    path.write_text(f"channels: 1\nch: 3\n{text}")
    with pytest.raises(UserError, match="ch and channels: differ"):
        load_graph(path)
