"""Attention by name: where places are, and that every reference follows an insertion.

An identity at any place changes nothing.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

from models.attention import ATTENTION
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import (
    Site,
    find_sites,
    insert,
    sites_table,
)
from models.graph.structure import Row
from models.graph.walk import measure_strides
from models.graph.wiring import passed_by
from models.weights.transfer import transfer
from models.yolo import DetectionModel, parse_model
from tests.models.graph.test_stages import SHIPPED, named_yolov5s
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.files import ROOT

SOME = ("models/yolov5n.yaml", "models/yolov8.yaml", "models/yolo11.yaml", "models/yolo12.yaml",
        "models/hub/yolov3.yaml", "models/hub/yolov5-fpn.yaml",
        "models/yolov5s_CBAM.yaml")  # fmt: skip
V5 = sorted(path.stem for path in (ROOT / "models").glob("yolov5s_*.yaml"))
V8 = sorted(path.stem for path in (ROOT / "models").glob("yolov8_*.yaml"))


def rows_of(content: dict[str, Any]) -> list[Any]:
    return [*content["backbone"], *content["head"]]


def same_graph(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {**one, "yaml_file": ""} == {**other, "yaml_file": ""}


def narrow(name: str) -> dict[str, Any]:
    """The graph at an eighth of the width, one repeat in most rows."""
    content = load_graph(name)
    if "scales" in content:
        return {**content, "scales": {"n": [0.33, 0.125, 1024]}, "scale": "n"}
    return {**content, "width_multiple": 0.125, "depth_multiple": 0.33}


def named(content: dict[str, Any]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for site in find_sites(content):
        found.setdefault(site.name, []).append(site.row)
    return found


# Where places are


def test_places_of_yolov5s() -> None:
    found = named(load_graph("models/yolov5s.yaml"))
    stages = {name: rows for name, rows in found.items() if " " not in name}
    assert stages == {
        "backbone.P1": [0],
        "backbone.P2": [2],
        "backbone.P3": [4],
        "backbone.P4": [6],
        "backbone.P5": [9],
        "backbone.sppf": [9],
        "neck.topdown.P5": [10],
        "neck.topdown.P4": [14],
        "neck.P3": [17],
        "neck.P4": [20],
        "neck.P5": [23],
        "head.P3": [17],
        "head.P4": [20],
        "head.P5": [23],
    }
    assert found["every C3"] == found["inside C3"] == [2, 4, 6, 8, 13, 17, 20, 23]
    assert found["every SPPF"] == found["index 9"] == [9]
    assert "inside Conv" not in found
    assert "index 24" not in found


@pytest.mark.parametrize(
    ("name", "places"),
    [
        (
            "models/yolov8n.yaml",
            {"backbone.P5": [9], "neck.topdown.P4": [12], "neck.P3": [15], "neck.P5": [21]},
        ),
        (
            "models/yolov8-p2.yaml",
            {"neck.P2": [18], "neck.topdown.P3": [15], "neck.P3": [21], "head.P2": [18]},
        ),
        (
            "models/yolo11.yaml",
            {"backbone.sppf": [9], "backbone.P5": [10], "neck.topdown.P4": [13]},
        ),
        (
            "models/hub/yolov3.yaml",
            {"neck.P5": [15], "neck.P4": [22], "neck.P3": [27], "backbone.P5": [10]},
        ),
        ("models/hub/yolov3-tiny.yaml", {"backbone.P5": [12], "neck.P5": [15], "neck.P4": [19]}),
        (
            "models/hub/yolov5-p34.yaml",
            {"neck.topdown.P5": [10], "neck.topdown.P4": [14], "neck.P4": [20]},
        ),
        (
            "models/hub/yolov5-p7.yaml",
            {"backbone.P7": [13], "neck.topdown.P7": [14], "neck.P7": [41]},
        ),
        ("models/hub/yolov5-fpn.yaml", {"neck.P5": [10], "neck.P4": [14], "neck.P3": [18]}),
        (
            "models/yolov5s_SimAM.yaml",
            {"neck.P3": [18], "neck.P5": [26], "every SimAM": [18, 22, 26]},
        ),
    ],
)
def test_places_of_other_graphs(name: str, places: dict[str, list[int]]) -> None:
    found = named(load_graph(name))
    assert {place: found[place] for place in places} == places


@pytest.mark.parametrize(
    "name", ["models/yolov8.yaml", "models/hub/yolov5-fpn.yaml", "models/hub/yolov3.yaml"]
)
def test_what_comes_down_once_has_no_second_name(name: str) -> None:
    found = named(load_graph(name))
    assert not {row for place, (row, *_) in found.items() if place.startswith("neck.topdown.")} & {
        row for place, (row, *_) in found.items() if place.startswith("neck.P")
    }


def test_the_table_has_a_line_for_each_row_but_the_head() -> None:
    lines = sites_table(load_graph("models/yolov8n.yaml")).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [str(row) for row in range(22)]
    assert lines[16].split(maxsplit=3) == [
        "15",
        "C2f",
        "8",
        "neck.P3, head.P3, every C2f, inside C2f",
    ]


# Insertions


@pytest.mark.parametrize("stem", V5)
def test_shipped_v5_graphs_are_what_insertion_gives(stem: str) -> None:
    check_shipped(stem, "models/yolov5s.yaml", "neck")


@pytest.mark.parametrize("stem", V8)
def test_shipped_v8_graphs_are_what_insertion_gives(stem: str) -> None:
    check_shipped(stem, "models/yolov8.yaml", v8_place(stem))


def v8_place(stem: str) -> str:
    return "backbone.P2" if stem == "yolov8_DoubleAttention" else "neck"


def check_shipped(stem: str, base: str, place: str) -> None:
    """With the arguments that the file states, the same dictionary."""
    shipped = load_graph(f"models/{stem}.yaml")
    name = stem.partition("_")[2]
    arguments = next(row[3] for row in rows_of(shipped) if row[2] == name)
    stated = "".join(
        f"{':,'[number > 0]}{key}={value}" for number, (key, value) in enumerate(arguments.items())
    )
    assert same_graph(insert(load_graph(base), [f"{name}{stated}@{place}"]), shipped)


@pytest.mark.slow
@pytest.mark.parametrize("stem", [*V5, *V8])
def test_shipped_graphs_state_what_is_the_default(stem: str) -> None:
    """With no arguments given, the same layers at the same keys."""
    shipped = load_graph(f"models/{stem}.yaml")
    base, place = (
        ("models/yolov5s.yaml", "neck") if stem in V5 else ("models/yolov8.yaml", v8_place(stem))
    )
    with torch.device("meta"):
        plain = DetectionModel(
            insert(load_graph(base), f"{stem.partition('_')[2]}@{place}")
        ).state_dict()
        assert {key: value.shape for key, value in plain.items()} == {
            key: value.shape for key, value in DetectionModel(shipped).state_dict().items()
        }


def test_the_tutorials_graph_with_every_reference_moved() -> None:
    """Article: DoubleAttention behind row 2 of yolov8n, whose first Concat was forgotten."""
    rows = rows_of(insert(load_graph("models/yolov8n.yaml"), "DoubleAttention@index 2"))
    assert [row[0] for row in rows if isinstance(row[0], list)] == [
        [-1, 7],
        [-1, 5],
        [-1, 13],
        [-1, 10],
        [16, 19, 22],
    ]


def test_places_mean_the_graph_as_it_was_given() -> None:
    """Three rows are inserted before the second place, and index 20 still means C3's row 20."""
    rows = rows_of(
        insert(
            load_graph("models/yolov5s.yaml"), ["SimAM@backbone.P2+index.9+index.10", "SE@index.20"]
        )
    )
    assert [index for index, row in enumerate(rows) if row[2] in ("SimAM", "SE")] == [3, 11, 13, 24]
    assert rows[23][:3] == [-1, 3, "C3"]
    assert rows[-1][0] == [20, 24, 27]


def test_modules_at_one_place_follow_each_other() -> None:
    rows = rows_of(
        insert(
            load_graph("models/yolov5s.yaml"),
            ["SimAM@backbone.P4", "CBAM@index 6", "SE@every.SPPF"],
        )
    )
    assert [row[2] for row in rows[6:9]] == ["C3", "SimAM", "CBAM"]
    assert [row[2] for row in rows[11:13]] == ["SPPF", "SE"]
    assert rows[15][0] == [-1, 8]


def test_one_request_at_two_names_of_a_place_puts_one_row_there() -> None:
    content = load_graph("models/yolov5s.yaml")
    assert insert(content, "SE@backbone.P5+backbone.sppf") == insert(content, "SE@index 9")


def test_before_the_head_other_rows_read_the_plain_map() -> None:
    content = load_graph("models/yolov5s.yaml")
    rows = rows_of(insert(content, "SimAM@head"))
    assert rows[:24] == rows_of(content)[:24]
    assert [row[0] for row in rows[24:]] == [17, 20, 23, [24, 25, 26]]
    assert [row.key for row in read_graph(insert(content, "SimAM@head")).rows[24:]] == [
        "23_SimAM", "23_SimAM_2", "23_SimAM_3", "24",
    ]  # fmt: skip


def test_a_place_before_the_head_and_the_stage_itself() -> None:
    rows = rows_of(
        insert(
            load_graph("models/yolov5s.yaml"),
            ["SimAM@head.P3", "CBAM@neck.P3", "SE@head.P3+head.P5"],
        )
    )
    assert [row[2] for row in rows[17:20]] == ["C3", "CBAM", "Conv"]
    assert [(row[0], row[2]) for row in rows[25:]] == [
        (18, "SimAM"), (-1, "SE"), (24, "SE"), ([26, 21, 27], "Detect"),
    ]  # fmt: skip


def test_a_stage_keeps_its_name_when_the_head_reads_attention_on_it() -> None:
    """neck.P3 of a graph with SimAM@head.P3 is the C3, not the row that only the head reads."""
    content = insert(load_graph("models/yolov5s.yaml"), ["SimAM@head.P3", "CBAM@head.P3"])
    found = named(content)
    assert (found["neck.P3"], found["head.P3"]) == ([17], [25])
    rows = rows_of(insert(content, "SE@neck.P3"))
    assert [(row[0], row[2]) for row in (rows[18], rows[25], rows[26])] == [
        (-1, "SE"),
        (18, "SimAM"),
        (-1, "CBAM"),
    ]


@pytest.mark.parametrize(
    "place", ["neck", "neck.P4", "backbone.P3", "every C3", "inside C3", "head", "index 18"]
)
def test_a_graph_that_has_attention_takes_more(place: str) -> None:
    content = load_graph("models/yolov5s_SimAM.yaml")
    more = insert(content, f"SE@{place}")
    kept = [row[2] for row in rows_of(more) if row[2] != "SE"]
    assert kept == [row[2] for row in rows_of(content)]
    assert slips(more) == []


def test_relative_references_stay_relative() -> None:
    """yolov3 counts -2 back, past the row that is put in."""
    rows = rows_of(insert(load_graph("models/hub/yolov3.yaml"), "SE@neck.P5"))
    assert rows[16][2] == "SE"
    assert rows[17][0] == -3


def test_the_graph_that_was_given_is_left_alone() -> None:
    content = load_graph("models/yolov5s.yaml")
    before = copy.deepcopy(content)
    new = insert(content, ["SE:reduction=8@inside.C3", "CBAM@neck"])
    new["anchors"][0][0] = rows_of(new)[0][3][0] = 99
    assert content == before
    assert insert(content, []) == content


def test_anchors_scales_and_switches_stay() -> None:
    for name in ("models/yolov5s.yaml", "models/yolov8s.yaml", "models/hub/yolov5s-LeakyReLU.yaml"):
        content = load_graph(name)
        new = insert(content, "SE@neck")
        assert {key: new[key] for key in new if key not in ("backbone", "head")} == {
            key: content[key] for key in content if key not in ("backbone", "head")
        }


def test_names_in_from_become_numbers_that_follow() -> None:
    assert insert(named_yolov5s(), "SE@neck+backbone.P4") == insert(
        load_graph("models/yolov5s.yaml"), "SE@neck+backbone.P4"
    )


def test_arguments_and_init() -> None:
    rows = rows_of(
        insert(
            load_graph("models/yolov5s.yaml"),
            "CBAM:reduction=8, no_spatial=true@backbone.p5",
            "identity",
        )
    )
    assert rows[10] == [-1, 1, "CBAM", {"reduction": 8, "no_spatial": True, "init": "identity"}]
    inside = rows_of(insert(load_graph("models/yolov5s.yaml"), "SE:reduction=4@inside C3"))[2]
    assert inside == [-1, 3, "C3", [128, {"inside": "SE", "reduction": 4}]]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "SimAM@neck.P9",
            "models/yolov5s.yaml has no place 'neck.P9'; it has neck, head, backbone.P1, ",
        ),
        ("SimAM@neck.P9", "neck.topdown.P4, neck.P3, neck.P4, neck.P5, head.P3"),
        (
            "SimAM@neck.P9",
            "every C3, every SPPF, every nn.Upsample, every Concat, inside C3, index 0 to index 23",
        ),
        ("SimAM@index.24", "no place 'index.24'"),
        ("SimAM@every Detect", "no place 'every Detect'"),
        ("SimAM@inside Conv", "no place 'inside Conv'"),
        ("SimAM@neck+", "no place ''"),
        ("SinAM@neck", "SinAM: no such attention module; did you mean SimAM?"),
        ("SimAM", "write module@place"),
        ("@neck", "write module@place"),
        ("SimAM@", "write module@place"),
        ("SimAM:lambda=1@neck", "SimAM takes argument=value, with e_lambda, init"),
        ("SimAM:0.1@neck", "SimAM takes argument=value, with e_lambda, init"),
        ("SimAM:init=zero@neck", "init=zero: must be paper or identity"),
    ],
)
def test_mistakes_are_one_line(spec: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        insert(load_graph("models/yolov5s.yaml"), spec)
    assert said in str(error.value)
    assert str(error.value).startswith(f"--attention {spec}: ")
    assert "\n" not in str(error.value)


def test_there_is_room_for_one_module_in_a_bottleneck() -> None:
    content = load_graph("models/yolov5s.yaml")
    for graph, specs in (
        (content, ["SE@inside.C3", "CBAM@inside C3"]),
        (insert(content, "SE@inside.C3"), "CBAM@inside.C3"),
    ):
        with pytest.raises(UserError, match="row 2, C3, has SE inside it already"):
            insert(graph, specs)


# Every reference follows, at every place of every graph


def slips(content: dict[str, Any]) -> list[str]:
    """Half-done maps that are read, by passed_by of models/graph/wiring.py."""
    graph = read_graph(content)
    with torch.device("meta"):
        return passed_by(graph, measure_strides(parse_model(graph, 0)[0], graph).sizes)


def check_references(
    content: dict[str, Any], site: Site, before: tuple[Row, ...], sites: list[Site]
) -> None:
    """All rows that read the site's row read the attention after an insertion.

    At head.* only the head does. before and sites: the rows and places of the content.
    """
    new = insert(content, f"SimAM@{site.name.replace(' ', '.')}")
    after = read_graph(new).rows
    added = [row for row in after if (row.module == "SimAM" and row.arguments == {})]
    old = [row for row in after if row not in added]
    assert [
        (row.module, row.arguments, row.repeats, row.key) for row in old if row.inside is None
    ] == [
        (row.module, row.arguments, row.repeats, row.key)
        for row, now in zip(before, old, strict=True)
        if now.inside is None
    ]
    number = {row.index: now.index for row, now in zip(before, old, strict=True)}
    behind = {row.inputs[0]: row.index for row in added}
    places = {one.row for one in sites if one.name == site.name}
    assert len(added) == (0 if site.kind == "inside" else len(places))
    for row, now in zip(before, old, strict=True):
        for source, target in zip(row.inputs, now.inputs, strict=True):
            moved = number.get(source, -1)
            follows = (
                source in places
                and site.kind != "inside"
                and (site.kind == "behind" or row is before[-1])
            )
            assert target == (behind[moved] if follows else moved)


@pytest.mark.parametrize("name", SOME)
def test_references_follow_at_every_stage(name: str) -> None:
    content = load_graph(name)
    before, sites = read_graph(content).rows, find_sites(content)
    for site in {site.name: site for site in sites if not site.name.startswith("index")}.values():
        check_references(content, site, before, sites)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_references_follow_at_every_place(name: str) -> None:
    content = load_graph(name)
    before, sites = read_graph(content).rows, find_sites(content)
    for site in {site.name: site for site in sites if site.module != "SimAM"}.values():
        if "SimAM" not in name:
            check_references(content, site, before, sites)
        if not site.name.startswith(("index", "every")):
            assert slips(insert(content, f"SimAM@{site.name}")) == []


@pytest.mark.parametrize("name", SOME)
def test_nothing_reads_a_half_done_map(name: str) -> None:
    content = load_graph(name)
    branches = [
        f"CBAM@{site.name}" for site in find_sites(content) if site.name.startswith("neck.topdown")
    ]
    assert slips(insert(content, ["SimAM@neck", *branches, "SE@backbone", "ECA@head"])) == []


# An identity anywhere changes nothing


@cache
def plain_run(name: str) -> tuple[Checkpoint, torch.Tensor, torch.Tensor]:
    """Weights, image and output of the narrow graph, at the smallest size its levels allow.

    One pass in training mode sets the norms' statistics. With those of a fresh model little of the
    image reaches the head.
    """
    model = DetectionModel(narrow(name))
    side = max(64, 2 * int(max(model.head.strides)))
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0
    with torch.no_grad():
        model.train()(image)
        return (
            Checkpoint(model.graph, model.names, model.state_dict()),
            image,
            model.eval()(image)[0],
        )


def run_with(content: dict[str, Any], plain: Checkpoint, image: torch.Tensor) -> torch.Tensor:
    """The output of the graph with the weights of the plain one.

    Base rows have them under the same keys. A module that is inserted before one of its own kind
    takes that one's key, so weights are moved by transfer().
    """
    model = DetectionModel(content, seed=1).eval()
    assert transfer(model, plain).used == len(plain.state)
    state = model.state_dict()
    base = {key: value for key, value in plain.state.items() if "_" not in key.split(".")[1]}
    assert base
    assert all(torch.equal(state[key], value) for key, value in base.items())
    with torch.no_grad():
        return model(image)[0]


def check_identity(name: str, specs: str | list[str]) -> None:
    plain, image, output = plain_run(name)
    assert torch.equal(run_with(insert(narrow(name), specs, "identity"), plain, image), output), (
        specs
    )


@pytest.mark.parametrize(
    "name", [SOME[0], SOME[2], *(pytest.param(SOME[one], marks=pytest.mark.slow) for one in (1, 3))]
)
def test_an_identity_changes_no_bit(name: str) -> None:
    """Everywhere at once, and more than one at a place; one by one below."""
    block = next(
        site.name for site in find_sites(load_graph(name)) if site.name.startswith("inside")
    ).partition(" ")[2]
    places = [
        "SE@backbone",
        "CBAM@index 10",
        f"ECA@inside {block}",
        f"SimAM@every {block}",
        "SE@neck",
        "SE@head",
    ]
    check_identity(name, places)
    plain, image, output = plain_run(name)
    assert not torch.equal(run_with(insert(narrow(name), "SimAM@head.P5"), plain, image), output)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_an_identity_changes_no_bit_at_any_place(name: str) -> None:
    for place in {site.name for site in find_sites(load_graph(name))}:
        check_identity(name, f"SE@{place}")


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted({kind.__name__ for kind in ATTENTION.values()}))
@pytest.mark.parametrize("name", ["models/yolov5n.yaml", "models/yolov8.yaml"])
def test_an_identity_of_any_module_changes_no_bit(module: str, name: str) -> None:
    for place in {site.name for site in find_sites(load_graph(name))}:
        if not place.startswith(("index", "every")):
            check_identity(name, f"{module}@{place}")


def test_attention_behind_the_backbones_last_row_belongs_to_the_backbone() -> None:
    new = insert(load_graph("models/yolov5s.yaml"), ["SE@backbone.P5", "SE@index.10"])
    assert [len(new["backbone"]), len(new["head"])] == [11, 16]
    assert new["backbone"][-1][2] == "SE"
