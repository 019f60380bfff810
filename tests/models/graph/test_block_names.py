"""Names such as C3SE: one rule over all blocks and attention modules, in all dialects."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from models.attention import ATTENTION
from models.blocks.residual import ResBlock
from models.costs.profile import count_costs
from models.graph.block_names import expand_block, read_block_name, suggest_inside
from models.graph.layers import LAYERS
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import find_sites, insert
from models.graph.values import Note
from models.graph.write import write_graph
from models.lint.fix import lint_content
from models.weights.transfer import transfer
from models.yolo import DetectionModel, parse_model
from tests.models.graph.test_inside import graph_of
from tests.models.graph.test_sites import narrow
from utils.checkpoint import Checkpoint
from utils.errors import UserError

KINDS = sorted({kind.__name__ for kind in ATTENTION.values()})
PLACE_OF = {
    "C3": "branch", "C2f": "branch", "C3k2": "branch", "C2PSA": "replace", "Bottleneck": "branch",
    "SPPF": "concat", "Conv": "output", "ResBlock": "branch",
}  # fmt: skip
FORMS = ["{0}{1}", "{1}{0}", "{0}_{1}", "{1}_{0}", "{0}_{1}_Attention"]


def meaning(name: str) -> tuple[str, str, str] | None:
    found = read_block_name(name)
    return (found.base, found.attention, found.place) if found else None


def row_of(module: str, *arguments: Any) -> Any:
    return read_graph(graph_of([-1, 1, module, list(arguments)])).rows[1]


def has_a_namesake(kind: str) -> bool:
    """Whether another module has the name with the word Attention, as SK and SKAttention."""
    return ATTENTION.get(f"{kind}Attention", ATTENTION[kind]) is not ATTENTION[kind]


@pytest.mark.parametrize(("base", "form"), list(product(PLACE_OF, FORMS)))
def test_every_attention_in_every_form(base: str, form: str) -> None:
    for kind in KINDS:
        if form.endswith("Attention") and (kind.endswith("Attention") or has_a_namesake(kind)):
            continue
        name = form.format(base, kind)
        if name in LAYERS or name in ATTENTION:
            assert meaning(name) is None
        else:
            assert meaning(name) == (base, kind, PLACE_OF[base]), name


def test_every_registered_spelling_is_one_inside_a_block_too() -> None:
    for spelling, kind in ATTENTION.items():
        name = f"C3_{spelling}"
        if name not in ATTENTION and spelling != "Att":
            assert meaning(name) == ("C3", kind.__name__, "branch"), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C3CA", ("C3", "CoordAttention", "branch")),
        ("CBAMC3", ("C3", "CBAM", "branch")),
        ("C3_SE_Attention", ("C3", "SE", "branch")),
        ("C2f_LSKA_Attention", ("C2f", "LSKA", "branch")),
        ("ResBlock_CBAM", ("ResBlock", "CBAM", "branch")),
        ("Conv_CBAM", ("Conv", "CBAM", "output")),
        ("CAConv", ("Conv", "CoordAttention", "output")),
        ("C2PSA_TripleAttention", ("C2PSA", "TripletAttention", "replace")),
        ("C3k2_GlobalContext", ("C3k2", "GlobalContext", "branch")),
        ("SE_Bottleneck", ("Bottleneck", "SE", "branch")),
        ("SPPFLSKA", ("SPPF", "LSKA", "concat")),
        ("C3x_ECA", ("C3x", "ECA", "branch")),
        ("DWConvSE", ("DWConv", "SE", "output")),
        ("SE_DWConv", ("DWConv", "SE", "output")),
        ("C3_SK", ("C3", "SK", "branch")),
        ("C3_SK_Attention", ("C3", "SKAttention", "branch")),
        ("c2f_simam", ("C2f", "SimAM", "branch")),
        ("C3_Coord_Att", ("C3", "CoordAttention", "branch")),
        ("Resblock_cbam", ("ResBlock", "CBAM", "branch")),
    ],
)
def test_names_seen_in_public(name: str, expected: tuple[str, str, str]) -> None:
    assert meaning(name) == expected


@pytest.mark.parametrize(
    "name",
    ["C3", "C3x", "C3TR", "SE", "SEAttention", "C2PSA", "DWConv", "GhostConv", "BottleneckCSP",
     "C3STR", "C3RFEM", "C2PSA_CGA", "GSConv", "RFCBAMConv", "SPPCSPC", "C2fAttn",
     "C3_Att", "C3_Attention", "C3_", "_C3", "C3C2f", "Concat_SE", "Detect_SE", "nn.Upsample_SE"],
)  # fmt: skip
def test_other_names_are_not_read(name: str) -> None:
    assert read_block_name(name) is None


def test_the_longest_block_counts_and_a_name_of_the_tables_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ATTENTION, "fCA", ATTENTION["ECA"])
    assert meaning("C2fCA") == ("C2f", "CoordAttention", "branch")
    assert meaning("C2_fCA") == ("C2", "ECA", "branch")
    monkeypatch.setitem(ATTENTION, "C3SE", ATTENTION["SE"])
    assert meaning("C3SE") is None


def test_a_class_registered_later_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    class Halver(torch.nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()

    monkeypatch.setitem(ATTENTION, "Halver", Halver)
    assert meaning("C2fHalver") == ("C2f", "Halver", "branch")


@pytest.mark.parametrize(
    ("name", "written", "arguments", "options"),
    [
        ("C3SE", [128], [128], {}),
        ("C3SE", [128, False], [128, False], {}),
        ("C3SE", [128, 16], [128], {"reduction": 16}),
        ("C3SE", [128, True, 1, 0.5, 8], [128, True, 1, 0.5], {"reduction": 8}),
        ("C2f_EMA", [256, True], [256, True], {}),
        ("C2f_EMA", [256, 8], [256], {"factor": 8}),
        ("C2f_EMA", [64, 64, True], [64, 64, True], {}),  # both channel counts, which lint finds
        ("C3SE", [128, 3], [128, 3], {}),  # the number of repeats, which lint finds
        ("C3k2_SE", [256, False, 0.25], [256, False, 0.25], {}),
        ("C2PSA_EMA", [1024, 8], [1024], {"factor": 8}),
        ("SPPF_LSKA", [1024, 5], [1024, 5], {"k_size": 11}),
        ("SPPF_LSKA", [1024, 5, 23], [1024, 5], {"k_size": 23}),
        ("Conv_CBAM", [64, 3, 2], [64, 3, 2], {"formula": "plain"}),
        ("C2f_CBAM", [64, True, 1, 0.5, 16, 7], [64, True, 1, 0.5],
         {"formula": "plain", "reduction": 16, "kernel_size": 7}),
        ("C3_ECA", [64], [64], {"k_size": 3}),
        ("ResBlock_SE", [64, 2, True, 1], [64, 2, True, 1], {}),
        ("C3SE", [], [], {}),
        ("C3SE", [64, {"bottleneck": 0.5}], [64], {"bottleneck": 0.5}),
        ("C3SE", [64, {"inside": "SEAttention", "reduction": 4}], [64], {"reduction": 4}),
        ("C3CBAM", [64, {"formula": "paper"}], [64], {"formula": "paper"}),
    ],
)  # fmt: skip
def test_values_of_a_row(
    name: str, written: list[Any], arguments: list[Any], options: dict[str, Any]
) -> None:
    read = read_block_name(name)
    assert read is not None
    *own, mapping = expand_block(read, written)
    assert own == arguments
    assert mapping == {"inside": read.attention, "place": read.place, **options}


def test_a_row_of_a_name_is_a_row_of_its_block() -> None:
    row = row_of("C2fSE", 16, True, {"place": "output"})
    assert (row.module, row.arguments, row.alias) == ("C2f", [16, True], "C2fSE")
    assert row.inside == {"inside": "SE", "place": "output"}
    same = row_of("C2f", 16, True, {"inside": "SE", "place": "output"})
    assert (same.module, same.arguments, same.inside) == (row.module, row.arguments, row.inside)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("C3SE", [16, True, 1, 0.5, 4, False, 3], "C3 takes [16, True, 1, 0.5] of it and SE at"),
        ("C3SE", [16, {"inside": "CBAM"}], "inside: CBAM: but the name C3SE says SE"),
        ("C3SE", [16, {"inside": ["SE"]}], "but the name C3SE says SE"),
        ("C3SE", [16, {"place": "nowhere"}], "place: nowhere: must be one of branch"),
        ("C3SE", [16, {"rate": 3}], "rate: SE has no such argument"),
        ("SPPF_SE", [16, {"place": "branch"}], "inside: SPPF has no bottlenecks"),
        ("C3SE", [16, {"reduction": {}}], "is not an argument"),
        ("C3SE", {"reduction": 4}, "only attention rows take a mapping"),
        ("C3_CBMA", [16], "no module of this name; did you mean C3 with {inside: CBAM}?"),
        ("C2f_ShufleAttention", [16], "did you mean C2f with {inside: ShuffleAttention}?"),
    ],
)
def test_mistakes_of_names_are_one_line(name: str, arguments: Any, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_model(read_graph(graph_of([-1, 1, name, arguments])), 0)
    assert said in str(error.value)
    assert str(error.value).startswith("g.yaml: row 1: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["C3STR", "C2PSA_CGA", "RFCBAMConv", "GSConv", "C3k2_DLKA"])
def test_another_mechanism_is_not_suggested(name: str) -> None:
    assert suggest_inside(name) == ""


# Whole graphs

DIALECTS = [
    ("models/yolov5n.yaml", "C3"), ("models/yolov8n.yaml", "C2f"), ("models/yolo11n.yaml", "C3k2"),
]  # fmt: skip
SOME = ("SE", "CBAM", "ECA", "CoordAttention", "EMA", "SimAM", "LSKA", "TripletAttention", "GAM")


def renamed(file: str, changes: dict[str, str]) -> dict[str, Any]:
    """A graph of an eighth of the width, its blocks under other names."""
    content = narrow(file)
    for row in [*content["backbone"], *content["head"]]:
        row[2] = changes.get(row[2], row[2])
    return content


@cache
def plain_state(file: str) -> dict[str, torch.Tensor]:
    """The initial weights of a graph of an eighth of the width."""
    return DetectionModel(narrow(file)).state_dict()


@pytest.mark.parametrize(
    ("kind", "file", "base"),
    [
        pytest.param(kind, *dialect, marks=[pytest.mark.slow] if number > 2 and place else [])
        for place, dialect in enumerate(DIALECTS)
        for number, kind in enumerate(SOME)
    ],
)
def test_all_dialects_build_and_take_plain_weights(kind: str, file: str, base: str) -> None:
    forms = iter(("{0}{1}", "{0}_{1}", "{1}{0}"))
    changes = {name: next(forms).format(name, kind) for name in (base, "SPPF", "Conv")}
    model = DetectionModel(renamed(file, changes)).eval()
    plain, state = plain_state(file), model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.items())
    assert len(state) > len(plain) or kind == "SimAM"
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
    notes = [note for note in model.warnings if "is read as" in note]
    assert len(notes) == 3
    assert all(isinstance(note, Note) for note in notes)


def test_psa_of_yolo11() -> None:
    model = DetectionModel(renamed("models/yolo11n.yaml", {"C2PSA": "C2PSA_EMA"})).eval()
    plain = DetectionModel(narrow("models/yolo11n.yaml")).state_dict()
    state = model.state_dict()
    gone = plain.keys() - state.keys()
    assert gone
    assert all(key.startswith("model.10.m.0.attn.") for key in gone)
    assert all(torch.equal(state[key], plain[key]) for key in plain.keys() - gone)
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_the_note_names_rows_place_and_options() -> None:
    content = load_graph("models/yolov5n.yaml")
    for number in (2, 4):
        content["backbone"][number][2] = "C3_CBAM"
    content["backbone"][6][2:] = ["C3_CBAM", [512, {"place": "output"}]]
    (note,) = [note for note in read_graph(content).warnings if "read as" in note]
    assert note == (
        "models/yolov5n.yaml: rows 2, 4: C3_CBAM is read as C3 with CBAM (formula plain) inside"
        " each bottleneck, before the addition; projects differ in the place, and {place: …}"
        " sets another"
    )


def test_usual_options_hold_where_they_divide_the_channels() -> None:
    """EMA's factor is 8 in public files, and as many groups cannot be made of 12 channels."""
    for width, groups in ((64, 8), (24, 12)):
        graph = read_graph(graph_of([-1, 1, "C2f_EMA", [width]]))
        block: Any = parse_model(graph, 0)[0][1]
        assert block.m[0].attention.factor == groups
    mapping: Any = parse_model(read_graph(graph_of([-1, 1, "C2f", [64, {"inside": "EMA"}]])), 0)[0][
        1
    ]
    assert mapping.m[0].attention.factor == 32


def test_the_graphs_init_holds_in_named_rows() -> None:
    content = {**graph_of([-1, 1, "C3SE", [16]]), "attention_init": "identity"}
    assert float(DetectionModel(content).state_dict()["model.1.m.0.attention.alpha"]) == 0


def test_resblock_with_attention_before_the_addition() -> None:
    block = parse_model(read_graph(graph_of([-1, 1, "ResBlock_CBAM", [32, 2]])), 0)[0][1]
    assert isinstance(block, ResBlock)
    assert block.attention.__class__.__name__ == "CBAM"
    assert block(torch.zeros(2, 16, 8, 8)).shape == (2, 32, 4, 4)


# What else reads a graph takes such rows for rows of their block


@pytest.fixture
def named() -> dict[str, Any]:
    """yolov5n at an eighth of the width with attention inside half of its rows."""
    content = narrow("models/yolov5n.yaml")
    for number, name in ((1, "Conv_SE"), (2, "C3SE"), (4, "C3_CBAM"), (9, "SPPF_LSKA")):
        content["backbone"][number][2] = name
    return content


def test_places_of_a_graph_are_those_of_the_plain_one(named: dict[str, Any]) -> None:
    plain = [
        (site.name, site.row, site.stride) for site in find_sites(narrow("models/yolov5n.yaml"))
    ]
    assert [(site.name, site.row, site.stride) for site in find_sites(named)] == plain
    assert ("backbone.sppf", 9, 32) in plain
    with pytest.raises(UserError, match="row 2, C3, has SE inside it already"):
        insert(named, "SE@inside.C3")
    moved = insert(named, "SE@index.1")
    assert [row[2] for row in moved["backbone"][1:4]] == ["Conv_SE", "SE", "C3SE"]


def test_weights_of_the_plain_graph_all_fit(named: dict[str, Any]) -> None:
    plain, model = DetectionModel(narrow("models/yolov5n.yaml"), seed=3), DetectionModel(named)
    source = Checkpoint(plain.graph, plain.names, plain.state_dict())
    transfer(model, source)
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.state_dict().items())


def test_what_is_written_is_the_same_graph(named: dict[str, Any], tmp_path: Path) -> None:
    named["backbone"][6][2:] = ["C3_CBAM", [512, {"place": "output", "bottleneck": 0.5}]]
    again = load_graph(write_graph(named, tmp_path / "named.yaml", "named"))
    assert read_graph(again).rows == read_graph(named).rows
    state, other = DetectionModel(named).state_dict(), DetectionModel(again).state_dict()
    assert state.keys() == other.keys()


def test_costs_count_the_attention_of_the_row(named: dict[str, Any]) -> None:
    plain = count_costs(DetectionModel(narrow("models/yolov5n.yaml")), 64)
    costs = count_costs(DetectionModel(named), 64)
    larger = [index for index, (one, other) in enumerate(zip(costs, plain, strict=True))
              if one.flops > other.flops]  # fmt: skip
    assert larger == [1, 2, 4, 9]


def test_lint_finds_nothing_in_them(named: dict[str, Any]) -> None:
    assert lint_content(named) == lint_content(narrow("models/yolov5n.yaml")) == []


@pytest.mark.parametrize(
    ("row", "better"),
    [
        (["C3SE", [64, 128]], [128, {"inside": "SE", "place": "branch"}]),
        (["C3", [64, 3, {"inside": "SE", "reduction": 4}]], [64, {"inside": "SE", "reduction": 4}]),
    ],
)
def test_a_fix_of_the_blocks_arguments_keeps_the_attention(row: list[Any], better: Any) -> None:
    (finding,) = lint_content(graph_of([-1, 1, *row]))
    assert finding.what.startswith(f"{row[0]} [64, ")
    assert finding.fix is not None
    assert finding.fix.value == better
