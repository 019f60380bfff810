"""Transfer of weights after rows or classes were inserted, removed, renumbered or renamed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch

from models.attention import ATTENTION
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import find_sites, insert
from models.weights.align import affinity, align_graphs, find_places
from models.weights.classes import match_classes
from models.weights.report import TransferReport
from models.weights.transfer import count_by_name, transfer, upstream_keys
from models.yolo import DetectionModel
from tests.models.fill import GOLDEN, fill, image, indexed
from tests.tiny import FREE_GRAPH, GRAPH
from utils.checkpoint import Checkpoint
from utils.errors import UserError

COUNTS = json.loads((GOLDEN / "transfer.json").read_text())
SIZES = [f"{family}{size}.yaml" for family in ("yolov5", "yolov8") for size in "nsmlx"]
SMALL = ("yolov5n.yaml", "yolov8n.yaml")
MODULES = sorted({kind.__name__ for kind in ATTENTION.values()})
slow = pytest.mark.slow


def checkpoint(graph: dict[str, Any], **options: Any) -> tuple[DetectionModel, Checkpoint]:
    model = DetectionModel(graph, seed=1, **options)
    fill(model)
    return model, Checkpoint(model.graph, model.names, model.state_dict())


def on_meta(graph: dict[str, Any], **options: Any) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(graph, **options)


def shifted(source: Any, place: int) -> Any:
    if isinstance(source, list):
        return [shifted(part, place) for part in source]
    return source + 1 if source >= place else source


def inserted(graph: dict[str, Any], place: int, module: str, arguments: Any) -> dict[str, Any]:
    """The graph with a row before row `place`.

    Numbers follow the rows that they name, and -1 reads the new row.
    """
    rows = [[shifted(f, place), *rest] for f, *rest in graph["backbone"] + graph["head"]]
    rows.insert(place, [-1, 1, module, arguments])
    border = max(len(graph["backbone"]), 1) + (place <= len(graph["backbone"]))
    return {**graph, "backbone": rows[:border], "head": rows[border:]}


def without(graph: dict[str, Any], place: int) -> dict[str, Any]:
    """The graph without a row; its readers read the row before it."""
    rows = copy.deepcopy(graph["backbone"] + graph["head"])
    for index, row in enumerate(rows):
        sources = row[0] if isinstance(row[0], list) else [row[0]]
        moved = [
            f - (f >= max(place, 1)) if f >= 0 else f + (f != -1 and index + f < place < index)
            for f in sources
        ]
        row[0] = moved if isinstance(row[0], list) else moved[0]
    del rows[place]
    border = len(graph["backbone"]) - (place < len(graph["backbone"]))
    return {**graph, "backbone": rows[:border], "head": rows[border:]}


def by_name(
    source: DetectionModel, target: DetectionModel, exclude: tuple[str, ...] = ("anchor",)
) -> int:
    graphs = (read_graph(source.graph), read_graph(target.graph))
    return count_by_name(graphs, source.state_dict(), target.state_dict(), exclude)


def test_a_plain_yolov5s_fits_the_tutorials_graph_whole() -> None:
    """YOLOv5 itself transfers 270 of 349 tensors here."""
    plain, source = checkpoint(load_graph("yolov5s.yaml"))
    model = DetectionModel(load_graph("yolov5s_SimAM.yaml"), seed=2)
    report = transfer(model, source)
    assert (report.copied, report.total, report.fresh, report.by_name) == (349, 349, [], 270)
    assert (
        report.line("best.pt")
        == "Transferred 349 of 349 tensors (100 %) from best.pt; matching by name would give 270"
    )
    state = plain.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert report.table(everything=False).count("\n") == 1
    assert "row 19  Conv    row 18  6 of 6" in report.table()


@pytest.mark.parametrize(("classes", "count"), [(80, 348), (3, 342)])
def test_yolov5s_rule_is_counted_as_yolov5_counts(classes: int, count: int) -> None:
    graph = load_graph("yolov5s.yaml")
    source = on_meta(graph)
    assert by_name(source, on_meta(graph, class_count=classes)) == count
    assert by_name(source, on_meta(load_graph("yolov5s_SimAM.yaml"), class_count=classes)) == 270
    assert by_name(source, on_meta(graph, class_count=3), ()) == 343


@pytest.mark.parametrize("classes", [80, 3])
@pytest.mark.parametrize(
    "places", [(3, 9, 24), pytest.param(range(1, 25), marks=slow)], ids=["some", "all"]
)
def test_yolov5s_rule_for_an_insertion_anywhere(places: Iterable[int], classes: int) -> None:
    graph = load_graph("yolov5s.yaml")
    source, golden = on_meta(graph), COUNTS[f"SimAM inserted, nc{classes}"]
    for place in places:
        model = on_meta(inserted(graph, place, "SimAM", []), class_count=classes)
        assert by_name(source, model) == golden[str(place)]["transferred"], place
    assert golden["3"]["transferred"] == 49


def rows_of(graph: dict[str, Any]) -> dict[str, str]:
    """Key -> key for all rows, the alignment of equal graphs."""
    return {row.key: row.key for row in read_graph(graph).rows}


@pytest.mark.parametrize(
    "name",
    [
        *SMALL,
        "yolov8n-p6.yaml",
        "yolo11n.yaml",
        *(pytest.param(name, marks=slow) for name in SIZES[1:]),
    ],
)
def test_equal_graphs_match_by_name(name: str) -> None:
    graph = load_graph(name)
    assert align_graphs(graph, graph) == rows_of(graph)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("module", "arguments"), [("CBAM", []), ("Conv", [96, 1]), ("C3", [72])])
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=slow)])
def test_rows_inserted_anywhere_leave_all_others_their_own_weights(
    name: str, module: str, arguments: Any, every: int
) -> None:
    """Row i of the plain graph is row i of the other, or i + 1 after the insertion."""
    graph = load_graph(name)
    rows = graph["backbone"] + graph["head"]
    plain = {place.key: place for place in find_places(read_graph(graph))}
    for place in range(1, len(rows), every):
        before = read_graph(graph).rows[place - 1]
        changed = inserted(graph, place, module, arguments)
        pairs = align_graphs(graph, changed)
        numbers = {row.key: row.index for row in read_graph(changed).rows}
        moved = {numbers[mine]: plain[theirs].index for mine, theirs in pairs.items()}
        truth = {index + (index >= place): index for index in range(len(rows))}
        for mine, theirs in moved.items():
            assert truth[mine] == theirs, (
                f"{module} after {before.module} {before.index}: {mine} from {theirs}"
            )
        lost = {truth[mine] for mine in set(truth) - set(moved)}
        readers = {
            index for index, row in enumerate(read_graph(graph).rows) if place - 1 in row.inputs
        }
        through = {index for index in lost if plain[index_key(graph, index)].shapes}
        assert (
            through <= readers if module != "CBAM" else not lost
        )  # only rows of another width now


def index_key(graph: dict[str, Any], index: int) -> str:
    return read_graph(graph).rows[index].key


@pytest.mark.parametrize("name", SMALL)
def test_a_second_block_of_equal_shape_leaves_every_tensor_a_place(name: str) -> None:
    """Nothing tells which of two equal blocks is the old one; the first gets the weights."""
    graph = load_graph(name)
    places = find_places(read_graph(graph))
    for place in (4, 8):
        changed = inserted(graph, place + 1, *graph["backbone"][place][2:])
        pairs = align_graphs(graph, changed)
        assert set(pairs.values()) == set(rows_of(graph))
        assert pairs[str(place)] == places[place].key


@pytest.mark.parametrize("name", SMALL)
def test_removed_rows_leave_all_others_their_own_weights(name: str) -> None:
    graph = load_graph(name)
    for place in (4, 6, 9):
        less = without(graph, place)
        pairs = align_graphs(graph, less)
        assert pairs == {
            str(i - (i > place)): str(i) for i in range(len(rows_of(graph))) if i != place
        }
        assert align_graphs(less, graph) == {theirs: mine for mine, theirs in pairs.items()}


def test_a_removed_stride_changes_the_size_of_all_later_maps() -> None:
    graph = load_graph("yolov5n.yaml")
    pairs = align_graphs(graph, without(graph, 1))
    assert pairs == {"0": "0", **{str(i - 1): str(i) for i in range(2, 25)}}


def test_rows_of_another_width_never_take_those_of_another_role() -> None:
    """Each C3 of yolov5s is as wide as that of yolov5n at the next stride, but is another row."""
    places = {
        name: find_places(read_graph(load_graph(name))) for name in ("yolov5n.yaml", "yolov5s.yaml")
    }
    sizes = {
        name: {place.key: (place.turns, place.size) for place in found}
        for name, found in places.items()
    }
    for first, second in (("yolov5n.yaml", "yolov5s.yaml"), ("yolov5s.yaml", "yolov5n.yaml")):
        pairs = align_graphs(load_graph(first), load_graph(second))
        assert all(sizes[second][mine] == sizes[first][theirs] for mine, theirs in pairs.items())
        assert not {"0", "2", "4", "6", "8", "9"} & set(pairs)


def test_roles_count_changes_between_shrinking_and_growing() -> None:
    turns = [place.turns for place in find_places(read_graph(load_graph("yolov5n.yaml")))]
    assert turns == [0] * 11 + [1] * 7 + [2] * 7


@pytest.mark.parametrize("change", [{"turns": 1}, {"step": 0.5}])
def test_equal_shapes_in_another_role_are_no_pair(change: dict[str, Any]) -> None:
    block = find_places(read_graph(load_graph("yolov5n.yaml")))[6]
    assert affinity(block, replace(block, index=9, key="9", size=99)) > 0
    assert affinity(block, replace(block, **change)) == 0


def test_another_depth_keeps_the_blocks_that_exist() -> None:
    graph = load_graph("yolov5n.yaml")
    _, source = checkpoint(graph)
    deeper = DetectionModel({**graph, "depth_multiple": 0.67})
    report = transfer(deeper, source)
    assert report.copied == report.held == report.used == 349
    assert report.line().startswith(f"Transferred 349 of {report.total} tensors (")
    assert "all that it holds" in report.line()
    assert all(".m." in key for key in report.fresh)
    shallow = transfer(
        DetectionModel(graph), Checkpoint(deeper.graph, deeper.names, deeper.state_dict())
    )
    assert (shallow.copied, shallow.fresh) == (349, [])


def test_levels_of_the_head_match_by_stride() -> None:
    graph, finer = load_graph("yolov8n.yaml"), load_graph("yolov8-p2.yaml", "n")
    plain, source = checkpoint(graph, class_count=3)
    model = DetectionModel(finer, class_count=3)
    report = transfer(model, source)
    old, new = plain.head.state_dict(), model.head.state_dict()
    same = [
        key
        for key, value in old.items()
        if key.startswith("cv2") and value.shape == new[up(key)].shape
    ]
    assert len(same) > 20
    assert all(torch.equal(old[key], new[up(key)]) for key in same)
    assert all(key in report.fresh for key in model.state_dict() if ".cv2.0." in key)


def test_a_level_is_its_stride_even_where_there_are_equally_many() -> None:
    """From strides 8 and 16 to 4 and 8: the first level becomes the second.

    Anchors are stored in cells, so they are not copied.
    """
    plain, source = checkpoint(GRAPH)
    model = DetectionModel({**GRAPH, "head": [[[2, 4], 1, "Detect", ["nc", "anchors"]]]})
    report = transfer(model, source)
    mine, theirs = model.head.state_dict(), plain.head.state_dict()
    assert torch.equal(mine["m.1.weight"], theirs["m.0.weight"])
    assert report.fresh == ["model.5.anchors", "model.5.m.0.weight", "model.5.m.0.bias"]


def up(key: str) -> str:
    branch, level, rest = key.split(".", 2)
    return f"{branch}.{int(level) + 1}.{rest}"


def filled_head(names: list[str], graph: dict[str, Any]) -> tuple[DetectionModel, Checkpoint]:
    return checkpoint({**graph, "nc": len(names)}, names=names)


@pytest.mark.parametrize("graph", [GRAPH, FREE_GRAPH], ids=["anchors", "free"])
@pytest.mark.parametrize(
    "names", [["dark", "bright"], ["gray", "Dark", "red", "bright"], ["dark"], ["dark", "blue"]]
)
def test_class_rows_follow_their_names(graph: dict[str, Any], names: list[str]) -> None:
    """Known classes get the scores that they had before, and boxes are the same."""
    plain, source = filled_head(["bright", "dark"], graph)
    model = DetectionModel({**graph, "nc": len(names)}, names=names, seed=3)
    fresh = DetectionModel({**graph, "nc": len(names)}, names=names, seed=3)
    report = transfer(model, source)
    images = image(4, 1, 3, 64, 64)
    with torch.no_grad():
        old, new, random = plain.eval()(images)[0], model.eval()(images)[0], fresh.eval()(images)[0]
    first = 5 if model.family.has_objectness else 4
    assert torch.allclose(old[..., :first], new[..., :first], rtol=1e-6)
    for number, name in enumerate(names):
        if name.lower() in ("bright", "dark"):
            column = ("bright", "dark").index(name.lower())
            assert torch.allclose(old[..., first + column], new[..., first + number], rtol=1e-5)
            assert not torch.allclose(
                random[..., first + number], new[..., first + number], rtol=1e-3
            )
    lost = len(set(map(str.lower, names)) - {"bright", "dark"})
    assert len(report.fresh) == (4 if lost else 0)
    assert all(outcome.in_part for outcome in report.outcomes if outcome.fresh)
    if lost:
        assert f"{lost} of {len(names)} classes new" in report.table()
        assert ", 4 more in part" in report.line()


@pytest.mark.parametrize("graph", [GRAPH, FREE_GRAPH], ids=["anchors", "free"])
def test_new_classes_keep_their_own_fresh_rows(graph: dict[str, Any]) -> None:
    _, source = filled_head(["bright", "dark"], graph)
    options: dict[str, Any] = {"names": ["red", "dark", "blue"], "seed": 3}
    model, fresh = (DetectionModel({**graph, "nc": 3}, **options) for _ in range(2))
    transfer(model, source)
    rows = (
        [5, 7, 13, 15, 21, 23] if model.family.has_objectness else [0, 2]
    )  # of three anchors with 8 rows each, or of 3
    for key in (
        ("m.0.weight", "m.1.bias")
        if model.family.has_objectness
        else ("cv3.0.2.weight", "cv3.1.2.bias")
    ):
        mine, untouched = model.head.state_dict()[key], fresh.head.state_dict()[key]
        same = [bool(torch.equal(a, b)) for a, b in zip(mine, untouched, strict=True)]
        assert [number for number, is_same in enumerate(same) if is_same] == rows


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        (["a", "b"], ["a", "b"], [0, 1]),
        (["a", "b"], ["b", "a"], [1, 0]),
        (["a", "b"], ["c", " B ", "a"], [None, 1, 0]),
        (["a", "b"], ["c", "d"], [0, 1]),  # renamed
        (["a", "b"], ["c", "d", "e"], [None, None, None]),
        (["a", "b"], ["0", "1"], [0, 1]),  # no names known
        (["0", "1"], ["0", "1", "2"], [None, None, None]),
        (["a", "a", "b"], ["b", "a"], [2, 0]),
        (["a", "a"], ["a", "a"], [0, 1]),
    ],
)
def test_match_classes(source: list[str], target: list[str], found: list[int | None]) -> None:
    assert match_classes(dict(enumerate(source)), dict(enumerate(target))) == found


def test_without_names_only_boxes_and_objectness_are_copied() -> None:
    _, source = checkpoint(load_graph("yolov5n.yaml"))
    report = transfer(DetectionModel(load_graph("yolov5n.yaml"), class_count=3), source)
    assert (report.copied, len(report.fresh)) == (343, 6)
    assert (
        report.line() == "Transferred 343 of 349 tensors (98 %) from the checkpoint, 6 more in part"
    )


def test_a_class_branch_of_another_width_starts_fresh() -> None:
    """YOLOv8n has 80 channels there for 80 classes and 64 for 3.

    Up to version 8.3 Ultralytics itself transfers 319 of 355 tensors.
    """
    _, source = checkpoint(load_graph("yolov8n.yaml"))
    report = transfer(DetectionModel(load_graph("yolov8n.yaml"), class_count=3), source)
    assert (report.copied, report.total, report.by_name) == (319, 355, 319)
    assert "of another shape" in report.table(everything=False)
    assert all(".cv3." in key for key in report.fresh)


def test_anchors_are_excluded_on_request_and_otherwise_reach_the_graph() -> None:
    model, _ = checkpoint(GRAPH)
    model.set_anchors(
        [[(5.0, 6.0), (7.0, 8.0), (9.0, 10.0)], [(20.0, 21.0), (30.0, 31.0), (40.0, 41.0)]]
    )
    source = Checkpoint(model.graph, model.names, model.state_dict())
    kept, moved = DetectionModel(GRAPH), DetectionModel(GRAPH)
    report = transfer(kept, source, ("anchors",))
    assert report.fresh == ["model.5.anchors"]
    assert "left unchanged" in report.table(everything=False)
    assert kept.spec.anchors == DetectionModel(GRAPH).spec.anchors
    assert transfer(moved, source).fresh == []
    assert moved.graph["anchors"] == [
        [5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
        [20.0, 21.0, 30.0, 31.0, 40.0, 41.0],
    ]
    assert (
        transfer(DetectionModel(GRAPH), checkpoint(GRAPH)[1], ("anchors",)).fresh == []
    )  # equal anchors are not fresh


def test_families_share_no_head() -> None:
    _, source = checkpoint(load_graph("yolov8n.yaml"))
    report = transfer(DetectionModel(load_graph("yolov5n.yaml")), source)
    assert 0 < report.copied < 349
    assert {key for key in report.fresh if key.startswith("model.24.")} == {
        f"model.24.{name}" for name in DetectionModel(load_graph("yolov5n.yaml")).head.state_dict()
    }


def test_a_fused_model_is_refused() -> None:
    _, source = checkpoint(GRAPH)
    with pytest.raises(UserError, match="before fuse"):
        transfer(DetectionModel(GRAPH).fuse(), source)


def test_half_precision_sources_fill_float_models() -> None:
    plain, source = checkpoint(GRAPH)
    half = {
        key: value.half() if value.is_floating_point() else value
        for key, value in source.state.items()
    }
    model = DetectionModel(GRAPH)
    assert transfer(model, Checkpoint(source.graph, source.names, half)).fresh == []
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=1e-3, atol=1e-3)


def test_a_block_of_a_related_kind_keeps_the_common_tensors() -> None:
    graph = load_graph("yolov5n.yaml")
    changed = copy.deepcopy(graph)
    changed["backbone"][8][2] = "C3TR"
    _, source = checkpoint(graph)
    report = transfer(DetectionModel(changed), source)
    assert not [key for key in report.fresh if not key.startswith("model.8.m.")]
    assert report.copied == 349 - 12


def test_upstream_keys_count_all_rows() -> None:
    model = on_meta(load_graph("yolov5s_ECA.yaml"))
    state = model.state_dict()
    found = upstream_keys(read_graph(model.graph), state)
    assert found == {key: indexed(model, key) for key in state}
    assert found["model.17_ECA.conv.weight"] == "model.18.conv.weight"


@lru_cache(maxsize=1)
def plain_run(name: str) -> tuple[Checkpoint, torch.Tensor, torch.Tensor]:
    """A plain graph's weights, an image, and the output."""
    plain, source = checkpoint(load_graph(name))
    images = image(5, 1, 3, 64, 64)
    with torch.no_grad():
        return source, images, plain.eval()(images)[0]


def check(name: str, specs: list[str]) -> TransferReport:
    """Every tensor of the plain graph is copied, and with identity init the output is bit-equal."""
    source, images, output = plain_run(name)
    model = DetectionModel(insert(load_graph(name), specs, init="identity"), seed=5).eval()
    report = transfer(model, source)
    assert report.copied == report.used == report.held, (
        f"{name} {specs}: {report.table(everything=False)}"
    )
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in source.state.items())
    with torch.no_grad():
        assert torch.equal(model(images)[0], output), f"{name} {specs}"
    return report


def places_of(name: str) -> list[str]:
    """Each place under one of its names: rows by number, insides of blocks, inputs of the head."""
    found = [
        site.name
        for site in find_sites(load_graph(name))
        if site.name.startswith(("index", "inside", "head"))
    ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(
    ("name", "specs"),
    [
        ("yolov5n.yaml", ["CBAM@backbone.P3"]),
        ("yolov5n.yaml", ["ECA@inside C3", "SE@head.P4"]),
        ("yolov8n.yaml", ["SE@neck", "SimAM@index 0"]),
        ("yolov8n.yaml", ["EMA@inside.C2f+every.C2f"]),
    ],
)
def test_identity_attention_leaves_the_output_bit_equal(name: str, specs: list[str]) -> None:
    report = check(name, specs)
    assert report.total > report.held
    assert all("_" in key.split(".")[1] or ".attention." in key for key in report.fresh)


@slow
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("name", SIZES)
def test_every_module_in_every_size_at_every_place(name: str, module: str) -> None:
    """One place after the other, then all of them at once."""
    places = places_of(name)
    for place in [*places, "+".join(places)]:
        check(name, [f"{module}@{place}"])
