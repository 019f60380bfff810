"""The model of a run: graph, inserted attention, pretrained weights, anchors, frozen rows.

build.py calls these with --cfg and --weights, and with the training split's classes and boxes.
"""

from __future__ import annotations

from typing import Any

from data.dataset_yaml import read_dataset_yaml
from data.grey import COLOUR
from data.index import DatasetIndex
from engine.training.autoanchor import check_anchors
from engine.training.start_change import start_line
from models.attention import ATTENTION
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import insert
from models.weights.channels import channels_line
from models.weights.classes import compare_classes
from models.weights.load import check_holds, find_weights, most_parameters, read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.errors import UserError
from utils.families import family_of
from utils.hyperparameters import Hyperparameters
from utils.seeds import stream
from utils.text import counted


def make_model(
    config: TrainConfig, hyp: Hyperparameters, data: DatasetIndex, resumed: Checkpoint | None
) -> tuple[DetectionModel, list[str]]:
    """Build the graph of --cfg, or of --weights, and copy pretrained weights into it.

    Args:
        config, hyp: The graph, the weights, and the number of anchors.
        data: The training split, whose classes the model gets.
        resumed: The checkpoint of an interrupted run, whose graph is used instead.

    Returns:
        The model, and sentences on how the classes of the data differ from those of the weights.

    Raises:
        UserError: The graph, the weights or the data do not fit together.
    """
    if resumed is not None:
        if len(resumed.names) != len(data.names):
            raise UserError(
                f"{config.data}: has {counted(len(data.names), 'class', 'classes')}, but the"
                " interrupted run had "
                f"{len(resumed.names)}; put the names back, or start anew with --weights"
            )
        model = DetectionModel(
            resumed.graph,
            class_count=len(data.names),
            names=data.names,
            seed=config.seed,
            held=most_parameters(resumed),
        )
        return model, _renamed(resumed, data, config)
    graph, source = read_source(config.cfg, config.weights, config.scale)
    graph = with_attention(with_channels(graph, config), config)
    anchors = (round(hyp.anchors) or None) if family_of(graph).has_anchors else None
    model = DetectionModel(
        graph, class_count=len(data.names), anchors=anchors, names=data.names, seed=config.seed
    )
    notes = []
    if source is not None:
        # Anchors that belong to another graph, or whose number differs, do not fit this head.
        exclude = ("anchors",) if config.cfg or hyp.anchors else ()
        report = transfer(model, source, exclude)
        print(report.line(config.weights))
        if report.classes == tuple(range(len(data.names))):  # otherwise they match by name
            note = compare_classes(source.names, data.names, (config.weights, config.data)).note
            notes += [note] if note else []
        if line := channels_line(source.graph.get("ch", COLOUR), model.channels):
            print(line)
        if report.fresh or config.verbose:
            print(report.table(everything=config.verbose))
        if line := start_line(model, source, data, config.imgsz):
            print(line)
    return model, notes


def _renamed(resumed: Checkpoint, data: DatasetIndex, config: TrainConfig) -> list[str]:
    """Which classes were renamed since a run was interrupted; UserError if their order changed."""
    where = ("the interrupted run", config.data)
    agreed = compare_classes(resumed.names, data.names, where)
    if agreed.order != tuple(range(len(data.names))):
        raise UserError(
            f"{config.data}: has the classes of the interrupted run in another order; put the"
            " names back, or start anew with --weights"
        )
    return [agreed.note] if agreed.note else []


def with_channels(graph: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """The graph with the number of input channels that the data set's YAML asks for, if any.

    Raises UserError if the graph's own YAML has another one.
    """
    wanted = read_dataset_yaml(config.data).channels
    own = graph.get("ch") if config.cfg else None
    if wanted and own not in (None, wanted):
        raise UserError(
            f"{graph['yaml_file']}: ch: {own}: but {config.data} has channels: {wanted}; make them"
            " equal, or leave one of them out"
        )
    return {**graph, "ch": wanted} if wanted else graph


def with_attention(graph: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Insert the modules of --attention, or set how the graph's own attention is initialised."""
    if config.attention:
        return insert(graph, config.attention, config.attention_init)
    if not config.attention_init:
        return graph
    if not any(row.module in ATTENTION or row.inside for row in read_graph(graph).rows):
        raise UserError(
            f"--attention-init {config.attention_init}: {graph['yaml_file']} has no attention; add"
            " --attention, such as SimAM@neck"
        )
    return {**graph, "attention_init": config.attention_init}


def read_source(
    cfg: str, weights: str, scale: str = ""
) -> tuple[dict[str, Any], Checkpoint | None]:
    """Read the graph and the weights that a run starts from.

    Args:
        cfg: A graph; "" takes that of the weights.
        weights: A checkpoint, or "".
        scale: Which size to take, if the graph has several.

    Returns:
        The graph, and the checkpoint if there is one.

    Raises:
        UserError: Neither is given, or they do not fit together.
    """
    source = read_weights(find_weights(weights)) if weights else None
    if cfg:
        graph = load_graph(cfg, scale)
        if source is None or source.graph:
            return graph, source
        # A state dict shows which form of its attention was trained, which the file does not.
        source = with_graph(source, graph, weights)
        rows = {part: source.graph[part] for part in ("backbone", "head")}
        return {**graph, **rows}, source
    if source is None:
        raise UserError(
            "--cfg: give a model such as models/yolov5s.yaml or yolov8n.yaml, or --weights to go on"
            " from"
        )
    if scale:
        raise UserError(
            f"--scale {scale}: {weights} has its size; give --cfg too for another, or leave"
            " --scale out"
        )
    if not source.graph:
        raise UserError(
            f"--weights {weights}: holds tensors without a graph; give the graph that they belong"
            " to as --cfg"
        )
    check_holds(source)
    return source.graph, source


def fit_anchors(
    config: TrainConfig, hyp: Hyperparameters, model: DetectionModel, data: DatasetIndex
) -> None:
    """Replace the head's anchors, if it has any, where they miss more than 2 % of the boxes.

    Args:
        config, hyp: Whether to check the anchors, and the largest ratio of sides of a match.
        model: The model, whose anchors are replaced in place.
        data: The training split.
    """
    if not model.spec.anchors or (config.noautoanchor and not hyp.anchors):
        return
    generator = stream(config.seed, "anchors")
    found = check_anchors(data, model.spec.anchors, config.imgsz, hyp.anchor_t, generator)
    if found is not None:
        model.set_anchors(found)


def freeze(model: DetectionModel, rows: tuple[int, ...]) -> None:
    """Freeze the parameters of these rows.

    Raises UserError for a row that does not exist, or if nothing is left to learn.
    """
    if rows and max(rows) >= len(model.model):
        raise UserError(
            f"--freeze {max(rows)}: the model has rows 0 to {len(model.model) - 1}; name some of"
            " those"
        )
    for row in model.model:
        if row.i in rows:
            row.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("--freeze: leaves nothing to learn; freeze fewer rows")
