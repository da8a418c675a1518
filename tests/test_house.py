"""The house: arrows point one way, public names are frozen, imports are cheap, files and functions stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import surefoot

SOURCE = Path(surefoot.__file__).parent
# values <- descent <- questions <- training <- figures <- faces; a module may import its own rank and lower ones.
RANK = {
    "duration": 0,
    "errors": 0,
    "foreign": 0,
    "glossary": 0,
    "html": 0,
    "trace": 0,
    "problem": 0,
    "start": 0,
    "run": 0,
    "store": 0,
    "problems": 1,
    "descent": 1,
    "logs": 1,
    "find": 2,
    "curvature": 2,
    "surfaces": 2,
    "batch": 3,
    "diagnosis": 3,
    "training": 4,
    "figures": 5,
    "integrations": 5,
    "lab": 6,
    "cli": 7,
}
LAZY = {"cli", "__init__"}  # may import inside functions: `surefoot --help` must not load torch

PUBLIC = [
    "Animation",
    "Answer",
    "Basin",
    "BatchSize",
    "Diagnosis",
    "Found",
    "FoundBy",
    "NoiseScale",
    "Path",
    "Plane",
    "Population",
    "Problem",
    "ProblemError",
    "Row",
    "Run",
    "SettingError",
    "Spectrum",
    "Store",
    "StoreError",
    "Suggestion",
    "SurefootError",
    "SurefootWarning",
    "Surface",
    "Trace",
    "UserFileError",
    "animate",
    "basin",
    "descend",
    "descend_many",
    "diagnose",
    "find_batch_size",
    "find_lr",
    "fork",
    "landscape",
    "noise_scale",
    "plot",
    "probe",
    "problems",
    "range_test",
    "read_log",
    "report",
    "schedule",
    "spectrum",
    "stability_limit",
    "steps",
    "stop",
    "suggest",
    "train",
    "two_gradients",
    "watch",
]


def modules():
    return {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}


def imported(path, inside_functions=True):
    """The surefoot modules that a file imports (not those under TYPE_CHECKING, which never run)."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(n)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for n in ast.walk(node)
    }
    nested = {
        id(n)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for n in ast.walk(node)
        if n is not node
    }
    for node in ast.walk(tree):
        if id(node) in skipped or (id(node) in nested and not inside_functions):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("surefoot"):
            yield from (
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules() else node.module for alias in node.names
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("surefoot"))


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__init__" else "__init__"


def test_every_room_has_a_rank():
    assert {room(module) for module in modules()} - {"__init__"} == set(RANK)


@pytest.mark.parametrize("module", sorted(modules()))
def test_arrows_point_one_way(module):
    if room(module) in LAZY:
        return
    for target in imported(modules()[module]):
        assert RANK[room(target)] <= RANK[room(module)], f"{module} imports {target}"


def test_problems_and_descent_do_not_know_each_other():
    for module, path in modules().items():
        other = {"problems": "descent", "descent": "problems"}.get(room(module))
        assert not any(room(target) == other for target in imported(path)), module


def test_no_import_inside_a_function_hides_an_arrow():
    for module, path in modules().items():
        if room(module) not in LAZY:
            assert set(imported(path)) == set(imported(path, inside_functions=False)), module


def test_no_circle():
    graph = {module: {t for t in imported(path) if t != module} for module, path in modules().items() if room(module) not in LAZY}
    graph = {m.removesuffix(".__init__"): {t.removesuffix(".__init__") for t in ts} for m, ts in graph.items()}
    done, under_way = set(), []

    def visit(module):
        assert module not in under_way, f"circle: {' -> '.join([*under_way, module])}"
        if module in done or module not in graph:
            return
        under_way.append(module)
        for target in graph[module]:
            visit(target)
        under_way.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_public_names_are_frozen_and_all_there():
    assert surefoot.__all__ == sorted(surefoot.__all__) == PUBLIC
    for name in PUBLIC:
        value = getattr(surefoot, name)
        assert value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'descent_into_madness'"):
        _ = surefoot.descent_into_madness


def test_every_module_says_what_it_makes_of_what():
    for module, path in modules().items():
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0:2]
        folder_or_exempt = path.name == "__init__.py"
        assert first, module
        assert folder_or_exempt or "->" in " ".join(first), module


def test_forbidden_names():
    forbidden = {"utils", "helpers", "common", "base", "manager", "handler"}
    assert not [module for module in modules() if set(module.split(".")) & forbidden]


def test_sizes():
    """Files under 500 lines, no function body over 60, nine in ten under 35 (style.md)."""
    bodies = []
    for module, path in modules().items():
        text = path.read_text()
        assert len(text.splitlines()) < 500, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                bodies.append((body[-1].end_lineno - body[0].lineno + 1, f"{module}.{node.name}"))
    bodies.sort()
    assert bodies[-1][0] <= 60, bodies[-1]
    assert bodies[len(bodies) * 9 // 10][0] < 35
    assert bodies[len(bodies) // 2][0] <= 6


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout.split()


def test_import_loads_nothing_but_torch_and_numpy():
    heavy = [
        "pandas",
        "sklearn",
        "matplotlib",
        "PIL",
        "rich",
        "plotext",
        "typer",
        "pyarrow",
        "scipy",
        "tensorboard",
        "starlette",
        "uvicorn",
    ]
    names = (
        "surefoot.descend, surefoot.Problem, surefoot.find_lr, surefoot.diagnose, surefoot.train, surefoot.watch, surefoot.read_log"
    )
    code = f"import sys, surefoot; {names}; print(*[n for n in {heavy} if n in sys.modules])"
    assert fresh(code) == []


def test_help_does_not_load_torch():
    code = "import sys, surefoot.cli.main; print(*[n for n in ('torch', 'numpy') if n in sys.modules])"
    assert fresh(code) == []


def test_the_lab_serves_without_torch():
    code = "import sys, surefoot.cli.lab, surefoot.lab.server, surefoot.lab.link; print('torch' in sys.modules)"
    assert fresh(code) == ["False"]


def test_contributing_names_every_file():
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    assert not [path for path in SOURCE.rglob("*.py") if f"\n{path.relative_to(SOURCE)} " not in text]
