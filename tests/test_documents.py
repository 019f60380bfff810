"""README, the guides and what they print: both languages agree, commands and linked files exist.

tests/run_documents.py runs the commands.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablation.config import STUDY_LINE
from data.convert import ConvertConfig
from engine.compare.settings import COMPARE_LINE
from engine.evaluation.settings import VAL_LINE
from engine.explain.settings import EXPLAIN_LINE
from engine.export.benchmark_settings import BENCHMARK_LINE
from engine.export.settings import EXPORT_LINE
from engine.inference.settings import DETECT_LINE
from engine.tuning.settings import TUNE_LINE
from models.settings import GRAPH_LINE
from tests.documents import (
    FENCE,
    INLINE,
    Command,
    blocks,
    commands_in,
    documents,
    figures,
    line_of,
    links,
    printed_commands,
    read,
    without_comment,
)
from tests.run_documents import NOT_RUN, REFUSED, documents_that_run, plan, unlike
from utils.cli import CommandLine, names_of
from utils.errors import UserError
from utils.files import ROOT
from utils.train_line import TRAIN_LINE

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
LINES: dict[str, CommandLine] = {  # program -> what it takes on its command line
    "train.py": TRAIN_LINE,
    "val.py": VAL_LINE,
    "detect.py": DETECT_LINE,
    "export.py": EXPORT_LINE,
    "benchmarks.py": BENCHMARK_LINE,
    "explain.py": EXPLAIN_LINE,
    "compare.py": COMPARE_LINE,
    "ablate.py": STUDY_LINE,
    "tune.py": TUNE_LINE,
    "models/yolo.py": GRAPH_LINE,
    "data/convert.py": CommandLine(ConvertConfig, "Write YOLO labels."),
}
OF_OTHERS = {  # flags of torchrun, Docker, python -m models.attention and bench.faults, and YOLOv5
    *("--nproc_per_node", "--shm-size"),
    *("--channels", "--size", "--batch", "--device", "--quick"),
    "--evolve",
    "--tables",
}
every_document = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)


def code(path: Path) -> list[tuple[str, str]]:
    """Language and text of every block, without the comments of shells, which are translated."""
    return [
        (
            block.language,
            "\n".join(map(without_comment, block.text.splitlines()))
            if block.language == "bash"
            else block.text,
        )
        for block in blocks(read(path))
    ]


def test_both_readmes_have_the_same_code() -> None:
    assert code(ENGLISH) == code(CHINESE)
    assert len(code(ENGLISH)) > 10


def test_both_readmes_have_the_same_commands_within_lines() -> None:
    english, chinese = (
        [command.text for command in printed_commands(read(path))] for path in (ENGLISH, CHINESE)
    )
    assert english == chinese


def test_both_readmes_have_the_same_figures() -> None:
    english, chinese = figures(read(ENGLISH)), figures(read(CHINESE))
    assert english == chinese
    assert len(english) > 40


def test_figures_are_told_from_names() -> None:
    text = "YOLOv5 at 640 px, −0.65 to +1.57, [2.68](docs/a12.md), `--img 320`, v8n, 4.8 %, 约 3 分"
    assert figures(text) == ["640", "−0.65", "+1.57", "2.68", "4.8", "3"]


def test_commands_are_read_as_a_shell_reads_them() -> None:
    script = "pip install x && python a.py --b 1  # why\npython c.py \\\n  --d '# e'\n"
    found = list(commands_in(script.replace("'# e'", "e"), 7))
    assert found == [
        Command("pip install x", 7),
        Command("python a.py --b 1", 7),
        Command("python c.py --d e", 8),
    ]


@pytest.mark.parametrize(
    "shown",
    [
        "Done: 24 epochs in 4 min 2 s, best epoch 23",
        "Results in runs/train/exp",
        "row 12: Concat reads\nrow 6",
        "image 1/80 images/00000.jpg: 128x128 1 ring, 2 star, 37.7ms\n…",
    ],
)
def test_printed_blocks_are_compared_by_their_form(shown: str) -> None:
    output = """Done: 1 epochs in 3.2 s, best epoch 0
    Results in runs/train/exp17
    row 3: Concat reads row 5, Conv
    image 7/8 images/07.jpg: 64x96 (no detections), 5.1ms"""
    assert unlike(shown, output) == []
    assert unlike(shown.replace("e", "a", 1), output) != []


@every_document
def test_linked_files_are_there(path: Path) -> None:
    targets = [(path.parent / link).resolve() for link in links(read(path))]
    assert [target.name for target in targets if not target.exists()] == []


def test_every_page_is_reached_from_readme() -> None:
    """Guides and examples are linked from README, or from a page that is."""
    reached, waiting = set[Path](), [ENGLISH]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        pages = [(page.parent / link).resolve() for link in links(read(page))]
        waiting += [one for one in pages if one.suffix == ".md" and one.is_file()]
        waiting = [one for one in waiting if one not in reached]
    assert [path.name for path in documents() if path not in reached] == []


def check_module(command: Command) -> None:
    """`python -m a.b --flag`: the module is there, and its source names every flag."""
    module, *rest = command.words[2:]
    if module == "pip":
        return
    found = importlib.util.find_spec(module)
    assert found is not None, module
    if found.submodule_search_locations:
        found = importlib.util.find_spec(f"{module}.__main__")
    assert found is not None, f"{module} is no program"
    assert found.origin is not None
    source = read(Path(found.origin))
    for flag in (word for word in rest if word.startswith("--")):
        assert flag in source or re.search(rf"\b{flag[2:].replace('-', '_')}\b", source), flag


def given(command: Command) -> list[str]:
    """The words behind the program; … stays where it stands for a flag's value."""
    words = command.words[2:]
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word != "…" or before.startswith("--")
    ]


def printed() -> Iterator[tuple[str, Command]]:
    for path in documents():
        yield from (
            (path.relative_to(ROOT).as_posix(), command)
            for command in printed_commands(read(path))
            if command.words[0] == "python"
        )


def test_every_command_has_a_program_and_flags_that_exist() -> None:
    checked = 0
    for document, command in printed():
        where = f"{document}:{command.line}: {command.text}"
        program = command.words[1]
        if program == "-m":
            check_module(command)
            continue
        if program == "-c":
            compile(command.words[2], where, "exec")
            continue
        assert (ROOT / program).is_file(), where
        if program.startswith("examples/"):
            continue  # tests/test_examples.py runs them
        line = LINES[program]
        if command.text in REFUSED:
            with pytest.raises(UserError, match="is not part of this project"):
                line.check(given(command))
            continue
        if "…" in command.words:  # words are left out, without which it would be refused
            known = {name for field in dataclasses.fields(line.kind) for name in names_of(field)}
            assert {word for word in command.words if word.startswith("--")} <= known, where
            continue
        try:
            line.check(given(command))
        except UserError as error:
            pytest.fail(f"{where}: {error}")
        checked += 1
    assert checked > 40


def test_every_flag_that_is_named_within_a_line_exists() -> None:
    known = {
        name
        for line in LINES.values()
        for field in dataclasses.fields(line.kind)
        if "help" in field.metadata
        for name in names_of(field)
    }
    for path in documents():
        text = FENCE.sub("", read(path))
        for one in INLINE.finditer(text):
            flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", one[1]))
            unknown = flags - known - OF_OTHERS
            assert not unknown, f"{path.name}:{line_of(text, one.start())}: {unknown}"


def test_every_graph_and_hyperparameter_file_of_the_project_is_there() -> None:
    for document, command in printed():
        for word in command.words:
            if re.fullmatch(r"(models|data)/[\w./-]+\.yaml", word):
                try:
                    assert find_any(word), f"{document}:{command.line}: {word}"
                except UserError as error:
                    pytest.fail(f"{document}:{command.line}: {error}")


def find_any(name: str) -> bool:
    """Whether a YAML of this project is there; yolov8n_GAM.yaml stands for two of them."""
    from models.graph.load import load_graph

    return bool((ROOT / name).is_file() or load_graph(name))


def test_what_is_not_run_is_in_a_document() -> None:
    """A row of the table for a command that no document prints any more would hide the next one."""
    texts = [command.text for path in documents() for command in printed_commands(read(path))]
    unused = [row for row in NOT_RUN if not any(re.search(row, text) for text in texts)]
    assert unused == []


def test_every_document_has_a_plan() -> None:
    steps = [step for path in documents_that_run() for step in plan(path)]
    assert len(steps) > 40
    assert not [step for step in steps if "…" in step.text]


@pytest.mark.parametrize("path", [ENGLISH, CHINESE, ROOT / "examples/README.md"])
def test_no_placeholder_is_left(path: Path) -> None:
    assert not re.findall(r"@@\w+@@", read(path))


def test_fences_are_closed() -> None:
    for path in documents():
        assert "```" not in FENCE.sub("", read(path)), path.name


def test_the_number_of_mechanisms_is_that_of_the_library() -> None:
    """A mechanism is a file of models/attention, which is written after one paper."""
    from models.attention import ATTENTION

    files = {kind.__module__ for kind in ATTENTION.values()}
    assert f" {len(files)} attention mechanisms" in read(ENGLISH)
    assert f" {len(files)} 种" in read(CHINESE)
    named, more = re.findall(r"^(SimAM · .*?) and\n(\d+) more:", read(ENGLISH), re.M | re.S)[0]
    assert len(named.split(" · ")) + int(more) == len(files)
