"""The tree as a whole: what a newcomer meets.

Text files, packaging, and start-up that needs little.
"""

from __future__ import annotations

import ast
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from models.graph import rows
from models.graph.load import load_graph
from models.graph.read import MOST_CLASSES
from models.graph.values import MOST
from models.weights.upstream import tree
from models.yolo import MOST_PARAMETERS
from utils.files import ROOT
from utils.pickles import builders, checks, machine, reader
from utils.yaml_file import load_yaml

YAMLS = sorted(path for folder in ("data", "models") for path in (ROOT / folder).rglob("*.yaml"))
PACKAGES = ("utils", "models", "data", "engine", "api", "ablation")


def requirements(name: str) -> dict[str, str]:
    """Package -> version range of a requirements file."""
    rows = [row.split("#")[0].strip() for row in (ROOT / name).read_text().splitlines()]
    pairs = [
        re.fullmatch(r"([A-Za-z0-9-]+)(.*)", row) for row in rows if row and not row.startswith("-")
    ]
    return {pair[1].lower(): pair[2] for pair in pairs if pair}


def imported_packages(path: Path) -> set[str]:
    """First parts of everything that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_yaml_is_a_mapping(path):
    assert load_yaml(path)


def test_requirements_are_ranges_without_upper_ends():
    found = requirements("requirements.txt")
    assert set(found) == {
        "torch",
        "torchvision",
        "numpy",
        "opencv-python",
        "pyyaml",
        "pandas",
        "matplotlib",
        "tqdm",
        "faster-coco-eval",
    }
    assert all(re.fullmatch(r">=[\d.]+", bounds) for bounds in found.values())


def test_every_import_is_in_the_requirements():
    names = {"cv2": "opencv-python", "yaml": "pyyaml", "faster_coco_eval": "faster-coco-eval"}
    # Used when they are there.
    optional = {"tensorboard", "PIL", "mss", "ray", "onnx", "onnxruntime", "openvino"}
    optional |= {"optuna", "sqlalchemy"}  # Optuna needs SQLAlchemy itself
    listed = {*requirements("requirements.txt")}
    ours = {*PACKAGES, *(path.stem for path in ROOT.glob("*.py"))}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for module in imported_packages(path):
                known = module in sys.stdlib_module_names | ours | optional
                assert known or names.get(module, module) in listed, f"{path}: {module}"


def test_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "LOG.md"])
def test_files_that_documents_point_to_are_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


def documented_commands() -> dict[str, set[str]]:
    """Script -> words that README.md and CONTRIBUTING.md give it, in code blocks and in code within
    a line.
    """
    text = "\n".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")
    )
    words: dict[str, set[str]] = {}
    for script, rest in re.findall(r"\bpython ((?:\w+/)*\w+\.py)\b([^`\n#&]*)", text):
        words.setdefault(script, set()).update(rest.split())
    return words


def test_documented_commands_name_existing_files():
    commands = documented_commands()
    assert {"train.py", "val.py", "detect.py", "models/yolo.py"} <= set(commands)
    for script, words in commands.items():
        assert (ROOT / script).is_file()
        configs = {
            word
            for word in words
            if word.endswith(".yaml") and "/" in word and not word.startswith("my")
        }
        for config in configs:  # yolov8n.yaml and yolov5n_SimAM.yaml stand for other graphs
            assert (ROOT / config).is_file() or load_graph(config)


@pytest.mark.parametrize(
    "script", ["train.py", "val.py", "detect.py", "models/yolo.py", "data/convert.py"]
)
def test_documented_flags_exist(script):
    command = [sys.executable, script, "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    flags = {
        word.split("=")[0]
        for word in documented_commands().get(script, set())
        if word.startswith("--")
    }
    assert not [flag for flag in flags if not re.search(rf"(^|[\s,]){flag}\b", run.stdout)]


def way_of_an_image() -> tuple[str, set[str]]:
    """The page about it down to the paragraph on train.py, and the files named there."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("# How it is built: the way of an image\n")[1].split("\n`train.py`")[0]
    return section, set(re.findall(r"`((?:\w+/)+\w+\.py)`", section))


def test_the_page_counts_the_files_on_the_way_of_an_image():
    section, names = way_of_an_image()
    assert not [name for name in names if not (ROOT / name).is_file()]
    count, lines = re.search(r"They are (\d+) files and ([\d,]+) lines", section).groups()
    found = sum(len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in names)
    assert len(names) == int(count)
    assert found == pytest.approx(int(lines.replace(",", "")), rel=0.1)


def test_the_page_names_the_files_that_run_on_the_way_of_an_image():
    command = [sys.executable, "-m", "tests.way_of_an_image"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert set(re.findall(r"\d+ (\S+\.py)\n", run.stdout)) == way_of_an_image()[1]


def test_security_states_the_limits_in_force():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for sentence in (
        f"| {machine.MAX_BYTES // 2**20} MiB, {machine.MAX_INSTRUCTIONS:,} instructions |",
        f"| {checks.MAX_NESTING} levels |",
        f"| {reader.MAX_ENTRIES:,} entries,",
        f"| {builders.MAX_DIMENSIONS} dimensions,",
        f"| {tree.MAX_MEMBERS:,} modules and tensors, {tree.MAX_MODULE_LEVELS} levels |",
        f"| {rows.MOST_ROWS:,} rows each in backbone and head, {MOST_CLASSES:,} classes, ",
        f" {MOST:,} channels, 10^{round(math.log10(MOST_PARAMETERS))} parameters |",
    ):
        assert sentence in text


def test_readme_shows_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install -r requirements.txt" in text
    assert "python train.py --cfg models/yolov5s_SimAM.yaml" in text


def test_no_url_is_fetched_by_the_programs():
    for path in [
        *ROOT.glob("*.py"),
        *(p for name in PACKAGES for p in (ROOT / name).rglob("*.py")),
    ]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"urlretrieve|download_url|hub\.load|requests\.|gdown|wget|curl ", text
        ), path


def test_ci_runs_what_readme_says():
    steps = (ROOT / ".ci/run").read_text()
    assert re.search(r"^timeout \d+ pytest\b", steps, flags=re.M)
    assert "ruff check" in steps
    assert "pytest" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.13"]
    assert {"run": ".ci/run"} in job["steps"]


def test_the_core_starts_without_heavy_packages():
    modules = "models.yolo, utils.config, data.scanning.load"
    heavy = [
        "cv2",
        "pandas",
        "matplotlib",
        "scipy",
        "torchvision",
        "faster_coco_eval",
        "tensorboard",
    ]
    program = f"import sys, {modules}; print(*[name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_nothing_that_programs_make_is_tracked():
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode:
        pytest.skip("not a git checkout")
    tracked = [Path(name) for name in git.stdout.splitlines()]
    assert not [
        path
        for path in tracked
        if path.parts[0] in ("runs", "datasets") or path.suffix in (".pt", ".cache")
    ]
    assert not [
        path
        for path in tracked
        if (ROOT / path).is_file() and (ROOT / path).stat().st_size > 3_000_000
    ]
