"""What the site is made from: links, drawings, docstrings, both languages. Without MkDocs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import yaml

from bench.attention_drawings.svg import draw
from models.attention import build_attention
from models.attention._registry import ATTENTION
from utils.files import ROOT
from website.flags import flags_page
from website.links import relink
from website.mechanisms import read_mechanisms
from website.nav import GUIDES, navigation
from website.pages import load_table, mechanism_page, outcomes, sections, table_page
from website.text import join_chinese, keep_together

DOCS = ROOT / "docs"
MECHANISMS = read_mechanisms()
KINDS = [kind for one in MECHANISMS for kind in one.kinds]
TABLE = load_table()
PAGES = sorted(DOCS.rglob("*.md"))
CHINESE = [path for path in PAGES if path.name.endswith(".zh-CN.md")]
CODE = re.compile(r"^```\w*\n.*?^```", re.S | re.M)


def id_of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def anchors(path: Path) -> set[str]:
    """Names of the headings of a page, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text(encoding="utf-8")), re.M)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", head) for head in heads]
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in plain}


@pytest.mark.parametrize("path", PAGES, ids=id_of)
def test_links_of_pages_hold(path):
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        name, _, part = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        if part and target.suffix == ".md":
            assert part in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("path", CHINESE, ids=id_of)
def test_both_languages_have_the_same_code(path):
    english = path.with_name(path.name.replace(".zh-CN", ""))
    texts = [one.read_text(encoding="utf-8") for one in (path, english)]
    assert CODE.findall(texts[0]) == CODE.findall(texts[1])
    assert len(re.findall(r"[\u4e00-\u9fff]", texts[0])) > 150


def test_the_guides_for_newcomers_are_there_in_chinese():
    wanted = {"from_a_tutorial", "from_yolov5", "from_ultralytics", "attention", "ablation", "data",
              "weights", "faq"}  # fmt: skip
    assert {path.name.removesuffix(".zh-CN.md") for path in CHINESE} >= wanted


def test_every_registered_module_is_on_a_page():
    assert {kind.name for kind in KINDS} == {kind.__name__ for kind in ATTENTION.values()}
    spelled = {name for kind in KINDS for name in (kind.name, *kind.aliases)}
    assert spelled == set(ATTENTION)
    assert TABLE["rows"].keys() == {kind.name for kind in KINDS}


@pytest.mark.parametrize("one", MECHANISMS, ids=lambda one: one.file)
def test_a_docstring_has_what_its_page_needs(one):
    assert len(one.title) > 20
    assert all(re.search(r": (helps|hurts|no evidence), [+-]", text) for text in one.verdicts)
    assert 2015 <= one.year <= 2030
    formula, _, cost = sections(one.body)
    assert re.search(r"[=*:]", formula)
    assert cost or "parameters" in formula
    for kind in one.kinds:
        assert set(kind.arguments) <= set(kind.defaults), kind.name
    page = mechanism_page(one, TABLE)
    for part in ("## Formula", "## Data flow", "## Cost", "## In YAML", "## Does it help?", "<svg"):
        assert part in page
    assert one.link in page


def test_each_class_of_a_file_has_its_own_verdicts():
    one = next(one for one in MECHANISMS if len(one.kinds) == 2)
    first, second = one.kinds
    lines = (f"{first.name}, x: hurts, -1.", f"{first.name} at P5, y: hurts, -1.",
             f"{second.name}, x: no evidence, +1.")  # fmt: skip
    one = dataclasses.replace(one, verdicts=lines)
    assert outcomes(one, first) == "hurts 2"
    assert outcomes(one, second) == "no evidence 1"
    single = dataclasses.replace(one, kinds=(first,), verdicts=("x: helps, +1.", "y: hurts, -1."))
    assert outcomes(single, first) == "helps 1, hurts 1"


@pytest.mark.parametrize("one", MECHANISMS, ids=lambda one: one.file)
def test_parameters_that_are_stated_are_those_of_the_module(one):
    with torch.device("meta"):
        modules = [build_attention(kind.name, 256) for kind in one.kinds]
    counts = [sum(each.numel() for each in module.parameters()) for module in modules]
    assert [TABLE["rows"][kind.name]["parameters"] for kind in one.kinds] == counts
    stated = re.findall(r"\b\d{1,3}(?:,\d{3})+\b", one.body)
    assert {int(figure.replace(",", "")) for figure in stated} <= set(counts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_yaml_of_a_page_builds(kind):
    page = mechanism_page(next(one for one in MECHANISMS if kind in one.kinds), TABLE)
    rows = [
        row
        for block in re.findall(r"```yaml\n(.*?)```", page, re.S)
        for row in yaml.safe_load(block)
        if row[2] == kind.name
    ]
    assert rows
    for _, _, name, arguments in rows:
        build_attention(name, 64, **(arguments or {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_module_has_a_small_drawing(kind):
    path = DOCS / f"images/attention/{kind.name}.svg"
    assert path.stat().st_size <= 15_000


@pytest.mark.parametrize("name", ["SimAM", "CBAM", "ACmix"])
def test_drawings_are_those_of_the_modules(name):
    text = (DOCS / f"images/attention/{name}.svg").read_text(encoding="utf-8")
    assert draw(name) == text, "python -m bench.attention_drawings draws it anew"


def test_the_table_has_a_row_for_each_module():
    page = table_page(MECHANISMS, TABLE)
    assert page.count("<tr>") == len(KINDS) + 1
    assert ">SimAM</a>" in page


def test_the_page_of_flags_has_those_of_other_programs_and_ours():
    page = flags_page()
    for text in ("`--lr0`", "`--mosaic`", "`--batch-size`, `--batch`", "### ablate.py"):
        assert text in page


def test_links_become_those_of_the_site():
    text = "[a](docs/data.md#x) [b](LICENSE) ![c](docs/images/results.png) `[d](docs/data.md)`"
    assert (
        relink(text, "index.md") == "[a](data.md#x) b ![c](images/results.png) `[d](docs/data.md)`"
    )
    assert relink("[a](../LOG.md) [b](https://x.y/z)", "measured.md") == (
        "[a](project/LOG.md) [b](https://x.y/z)"
    )
    assert relink("[a](README.md)", "project/CONTRIBUTING.md") == "[a](../index.md)"


def test_chinese_lines_join_and_others_do_not():
    text = "一行，\n二行 SimAM\n三行\n- 四行\n```\n五行\n六行\n```\n"
    assert join_chinese(text) == "一行，二行 SimAM\n三行\n- 四行\n```\n五行\n六行\n```\n"


def test_names_that_share_an_entry_stay_together():
    text = "Sentence, of two: parts.\n\nArgs:\n    a, *b: both.\n    c: one, two.\n"
    assert keep_together(text) == text.replace("a, *b", "a,\N{NO-BREAK SPACE}*b")


def test_every_page_is_in_the_navigation():
    found = navigation(DOCS, [one.page for one in MECHANISMS])
    listed = {page for part in found for pages in part.values()
              for page in ([pages] if isinstance(pages, str) else pages)}  # fmt: skip
    written = {id_of(path) for path in PAGES if path not in CHINESE and "studies" not in path.parts}
    assert written <= listed
    assert "data.md" in GUIDES
