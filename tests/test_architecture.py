"""The design's lines, held by reading the source: layers, circles, sizes, constructs, tests that
mirror the tree.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ablation.folder import training_files
from utils.files import ROOT

PROGRAMS = ("train", "val", "detect", "export", "explain", "compare")
BELOW_PROGRAMS = {"utils", "models", "data", "engine"}
BELOW_DOORS = {*BELOW_PROGRAMS, *PROGRAMS}
LAYERS = {  # folder or program -> what it may import beside itself: only what is below
    "utils": set[str](),
    "models": {"utils"},
    "data": {"utils"},
    "engine": {"utils", "models", "data"},
    **dict.fromkeys(PROGRAMS, BELOW_PROGRAMS),
    "benchmarks": BELOW_DOORS,
    "tune": BELOW_DOORS,
    "api": {*BELOW_DOORS, "tune"},
    "hubconf": {*BELOW_DOORS, "api"},
    "ablation": BELOW_DOORS,
    "ablate": {*BELOW_DOORS, "ablation"},
    "bench": {*BELOW_DOORS, "ablation", "ablate", "api"},
    "website": {"utils", "models", "engine", "ablation"},  # settings only: it runs without torch
}
PACKAGES = ("utils", "models", "data", "engine", "api", "ablation")
BESIDE = ("bench", "website")
HEAVY = {
    "cv2",
    "pandas",
    "matplotlib",
    "scipy",
    "torchvision",
    "faster_coco_eval",
    "tensorboard",
    "tqdm",
    "PIL",
    "ray",
    "optuna",
}
HEAVY_ALLOWED: set[tuple[str, str]] = {
    ("train.py", "tqdm"),
    ("val.py", "tqdm"),
    *((f"engine/tuning/{name}.py", "optuna") for name in ("study", "trial", "report")),
}  # (file, module) at module level
SYS_PATH_ALLOWED = {
    "models/yolo.py",
    "data/convert.py",
    "website/hooks.py",
}  # also run as scripts, or by MkDocs
YAML_ROWS = {
    "models/attention/irmb.py",
    "models/attention/dattention.py",
    "models/common.py",
    "models/blocks/efficient.py",
    "models/blocks/mobile.py",
    "models/blocks/mobileone.py",
    "models/blocks/mobilevit.py",
    "models/blocks/omni.py",
    "models/blocks/pyramid.py",
    "models/blocks/rare.py",
    "models/blocks/reparam.py",
    "models/blocks/transformer.py",
    "models/blocks/v8.py",
    "models/blocks/v10.py",
    "models/blocks/v12.py",
    "models/forks/blocks.py",
}  # parameters are YAML arguments
MAX_FUNCTION_LINES, MAX_PARAMETERS, MAX_FILE_LINES = 60, 6, 300


def source_files() -> list[Path]:
    """Every Python file of the project but the tests."""
    roots = [ROOT / name for name in (*PACKAGES, *BESIDE) if (ROOT / name).is_dir()]
    files = [path for root in roots for path in root.rglob("*.py")]
    return sorted([*files, *ROOT.glob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = {name_of(path): path for path in source_files()}


@functools.cache
def tree_of(name: str) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(FILES[name].read_text(encoding="utf-8"), name)


def each(names: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """Make a check of one file or folder a test of all, which lists those that fail.

    A test for each of them would be thousands, which cost more than what they look at. The names
    and the check are attributes of the test.
    """

    def test_of(check: Callable[[str], None]) -> Callable[[], None]:
        def test() -> None:
            faults = []
            for name in sorted(names):
                try:
                    check(name)
                except AssertionError as error:
                    faults.append(f"{name}: {error}")
            assert not faults, "\n".join(faults)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        vars(test).update(names=names, check=check)
        return test

    return test_of


every_file = each(FILES)


def imported(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Dotted names of all modules that a file imports anywhere; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the whole name"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with its dotted name, such as torch.load; other callees give an empty name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield (
                (
                    ast.unparse(node.func)
                    if isinstance(node.func, (ast.Name, ast.Attribute))
                    else ""
                ),
                node,
            )


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def place_of(name: str) -> str:
    """The folder at the root that a file is in, or the program that it is."""
    return name.split("/")[0].removesuffix(".py")


MODULES = {
    name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in FILES
}


@functools.cache
def own_imports(name: str) -> set[str]:
    """The project's files that a file imports anywhere, in its functions too."""
    found = {
        MODULES.get(module) or MODULES.get(module.rpartition(".")[0])
        for module, _ in imported(tree_of(name))
    }
    return {other for other in found if other and other != name}


@every_file
def test_nothing_imports_upward(name):
    place = place_of(name)
    reached = {place_of(other) for other in own_imports(name)} - {place}
    assert reached <= LAYERS[place], f"{name} imports {sorted(reached - LAYERS[place])}"
    if name == "utils/structures.py":
        assert own_imports(name) <= {"utils/families.py"}
    if name == "utils/families.py":
        assert not own_imports(name)


def in_circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is left when all that imports nothing of the rest is taken away, again and again."""
    left = dict(arrows)
    while free := [one for one, reached in left.items() if not reached & left.keys()]:
        left = {one: reached for one, reached in left.items() if one not in free}
    return sorted(left)


def test_circles_are_found():
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_no_circle_of_files():
    assert in_circles({name: own_imports(name) for name in FILES}) == []


@each({Path(name).parent.as_posix() for name in FILES if name.count("/")} | {"."})
def test_no_circle_of_rooms(folder):
    """In each folder, files and folders import each other in one direction only."""
    depth = 0 if folder == "." else folder.count("/") + 1
    inside = [name for name in FILES if folder == "." or name.startswith(f"{folder}/")]
    rooms: dict[str, set[str]] = {}
    for name in inside:
        room = name.split("/")[depth]
        reached = {other.split("/")[depth] for other in own_imports(name) if other in inside}
        rooms.setdefault(room, set()).update(reached - {room})
    assert in_circles(rooms) == []


def test_folders_and_programs_at_the_root_are_the_known_ones():
    assert {place_of(name) for name in FILES} == LAYERS.keys()


def test_a_study_hashes_all_that_its_cells_run():
    """Whatever train.py imports, straight or on the way, is among the files that ablation/folder.py
    hashes.
    """
    reached, waiting = set[str](), ["train.py"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += own_imports(name) - reached
    hashed = {name_of(path) for path in training_files()}
    assert reached <= hashed
    assert not [name for name in hashed if place_of(name) in ("tests", "ablation", "api", *BESIDE)]


def test_utils_holds_what_is_shared():
    """Two places outside it use each file of utils, or another file of utils that is shared so."""
    utils = {
        name for name in FILES if place_of(name) == "utils" and Path(name).name != "__init__.py"
    }
    outside = [name for name in FILES if place_of(name) not in ("utils", *BESIDE)]
    shared = {
        file
        for file in utils
        if len({place_of(name) for name in outside if file in own_imports(name)}) >= 2
    }
    while more := {file for one in shared for file in own_imports(one) & utils} - shared:
        shared |= more
    assert shared == utils, f"of one place only: {sorted(utils - shared)}"


@each([name for name in FILES if name.startswith("models/attention/")])
def test_an_attention_file_is_complete_in_itself(name):
    if Path(name).name.startswith("_"):
        return
    own = (
        "models.attention._registry",
        "models.attention._checks",
        "models.attention._maps",
        "models.attention._numerics",
        "models.attention._visual",
        "models.attention.fast",
        "models.common.Conv",  # whose batch norm is folded, and whose activation is the graph's
    )
    standard = ("math", "warnings", "__future__", "types", "typing", "functools", "dataclasses")
    standard += ("collections.abc",)
    allowed = ("torch", *standard, *own)
    for module, node in imported(tree_of(name)):
        assert module.startswith(allowed), f"{name}:{node.lineno} imports {module}"


@every_file
def test_forbidden_constructs(name):
    for module, node in imported(tree_of(name)):
        where = f"{name}:{node.lineno}"
        assert not module.endswith(".*"), f"{where}: star import"
        assert module.split(".")[0] not in {
            "dill",
            "cloudpickle",
            "shelve",
            "marshal",
        }, f"{where}: {module}"
        assert not module.startswith("pickle.") or module == "pickle.UnpicklingError", (
            f"{where}: {module}"
        )
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            assert node.attr == "UnpicklingError", f"{name}:{node.lineno}: pickle.{node.attr}"
    for called, node in calls(tree_of(name)):
        where = f"{name}:{node.lineno}"
        assert called not in {
            "eval",
            "exec",
            "compile",
            "__import__",
            "os.system",
        }, f"{where}: {called}"
        assert called not in {
            "yaml.load",
            "yaml.unsafe_load",
            "yaml.full_load",
            "yaml.load_all",
        }, f"{where}: {called}"
        options = {word.arg: word.value for word in node.keywords}
        if called.endswith("torch.load"):
            flag = options.get("weights_only")
            assert isinstance(flag, ast.Constant), f"{where}: torch.load without weights_only=True"
            assert flag.value is True, f"{where}: torch.load without weights_only=True"
        for option in ("shell", "allow_pickle"):
            value = options.get(option)
            assert value is None or (isinstance(value, ast.Constant) and value.value is False), (
                f"{where}: {option}"
            )


@every_file
def test_nothing_is_caught_that_is_not_named(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                [] if node.type is None else [ast.unparse(part) for part in ast.walk(node.type)]
            )
            assert caught, f"{name}:{node.lineno}: bare except"
            assert not {"Exception", "BaseException"} & set(caught), (
                f"{name}:{node.lineno}: broad except"
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "suppress",
            "contextlib.suppress",
        }:
            named = {ast.unparse(part) for part in node.args}
            assert not {"Exception", "BaseException"} & named, (
                f"{name}:{node.lineno}: broad suppress"
            )


@every_file
def test_sys_path_is_left_alone(name):
    if name not in SYS_PATH_ALLOWED:
        touched = [
            node.lineno
            for node in ast.walk(tree_of(name))
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
        ]
        assert not touched, f"{name}: sys.path at lines {touched}"


@every_file
def test_no_global_statements_and_relative_imports(name):
    assert not [node.lineno for node in ast.walk(tree_of(name)) if isinstance(node, ast.Global)]
    list(imported(tree_of(name)))


def module_level_imports(tree: ast.Module) -> set[str]:
    """First parts of what is imported when the file itself is; not inside functions or under
    TYPE_CHECKING.
    """
    found: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        pending.extend(ast.iter_child_nodes(node))
    return found


@every_file
def test_heavy_packages_wait_until_they_are_needed(name):
    heavy = module_level_imports(tree_of(name)) & HEAVY
    assert {(name, module) for module in heavy} <= HEAVY_ALLOWED


@every_file
def test_sizes(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    for function in functions(tree_of(name)):
        where = f"{name}:{function.lineno} {function.name}"
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{where}: {lines} lines"
        arguments = function.args
        # The options of an attention module are those of its paper, and always given by name.
        is_attention = name.startswith("models/attention/") and function.name == "__init__"
        options = [] if is_attention else arguments.kwonlyargs
        named = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *options)]
        count = len([one for one in named if one not in ("self", "cls")])
        allowed = MAX_PARAMETERS + 2 * (name in YAML_ROWS and function.name == "__init__")
        assert count <= allowed, f"{where}: {count} parameters"


def test_functions_are_short_on_the_whole():
    lengths = sorted(
        (one.end_lineno or 0) - one.lineno + 1 for name in FILES for one in functions(tree_of(name))
    )
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[int(len(lengths) * 0.95)] <= 35


@every_file
def test_every_module_says_what_it_is(name):
    assert len(ast.get_docstring(tree_of(name)) or "") >= 30, (
        f"{name}: no docstring that says anything"
    )


@every_file
def test_annotations_are_not_evaluated(name):
    if Path(name).name != "__init__.py":
        assert "annotations" in {module.split(".")[-1] for module, _ in imported(tree_of(name))}


@each([name for name in FILES if name.startswith("models/")])
def test_every_public_forward_states_its_shapes(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "forward":
                    text = ast.get_docstring(method) or ""
                    assert "[" in text, (
                        f"{name}:{method.lineno} {node.name}.forward: no shapes in its docstring"
                    )


def test_tests_mirror_the_tree():
    """tests/a/test_b.py, or test_b_topic.py, stands for the file or folder b in the folder a, or
    for a itself.
    """
    places = [
        path.relative_to(ROOT) for name in (*PACKAGES, *BESIDE) for path in (ROOT / name).rglob("*")
    ]
    places += [Path(name) for name in FILES if "/" not in name]
    known = {
        (place.parent.as_posix(), place.stem.strip("_"))
        for place in places
        if place.suffix in ("", ".py")
    }
    known |= {(place.as_posix(), place.name) for place in places if not place.suffix}
    whole = (
        "architecture", "documents", "examples", "public_files", "recipes", "repository", "site",
    )  # fmt: skip
    known |= {(".", name) for name in whole}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        where = path.relative_to(ROOT / "tests")
        words = path.stem.removeprefix("test_").split("_")
        stems = {
            (where.parent.as_posix(), "_".join(words[:count])) for count in range(1, len(words) + 1)
        }
        assert stems & known, f"tests/{where} mirrors no file"


@each([name for name in FILES if name.split("/")[0] in PACKAGES and "__init__" not in name])
def test_every_file_has_a_test(name):
    """A file is tested in its mirror, or in another test file that imports it by its full name."""
    folder, stem = (ROOT / "tests" / name).parent, Path(name).stem
    if any(folder.glob(f"test_{stem.strip('_')}*.py")):
        return
    module = name.removesuffix(".py").replace("/", ".")
    parent, _, leaf = module.rpartition(".")
    wanted = (f"from {module} import", f"import {module}", f"from {parent} import {leaf}")
    assert any(form in text for text in texts_of_tests() for form in wanted), "is tested nowhere"


@functools.cache
def texts_of_tests() -> list[str]:
    """The text of every test file."""
    return [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
