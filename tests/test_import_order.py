"""Imports go one way: models, cost, losses and metrics, data and search spaces, tasks, searches, the command line.

The rules are read off the source, so that they hold for imports inside functions as well, and for modules yet to come.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_mm

PACKAGE = "lightning_mm"
ROOT = Path(lightning_mm.__file__).parent
# A component may import those of lower rank; those of equal rank too, as long as no cycle comes of it.
RANKS = {
    **{"models": 0, "cost": 1, "losses": 1, "metrics": 1, "data": 2, "spaces": 2, "tasks": 3},
    **{"search": 4, "nas": 4, "benchmarking": 4, "cli": 5},
}
# What these few may import of the package. Everything else may import them.
BESIDE = {
    "errors": set(),
    "torchvision_compat": set(),
    "runs": {"errors", "models"},
    "weights": {"errors", "models", "cost"},
    "": {"torchvision_compat", "models", "weights"},  # the package's own __init__
}
OPTIONAL = {"wandb", "optuna", "lpips", "av", "plotly"}
WITHOUT_OPTIONAL = {"", "models", "data", "tasks"}
MODELS_MAY_IMPORT = {"torch", PACKAGE, *sys.stdlib_module_names}


def component(module):
    """ "models" of lightning_mm.models.config; "" of lightning_mm itself."""
    return f"{module}.".split(".")[1]


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"


def import_nodes(tree, at_import_time):
    """Import statements of a module: all of them, or those that run when it is imported."""
    lazy = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif at_import_time and is_type_checking(node):
            yield from (n for branch in node.orelse for n in import_nodes(ast.Module([branch], []), True))
        elif not (at_import_time and isinstance(node, lazy)):
            yield from import_nodes(node, at_import_time)


def imported(module, sources, at_import_time=False):
    """Names of the modules that a module imports; ``from package import name`` means package.name where that is one."""
    found = set()
    for node in import_nodes(ast.parse(sources[module]), at_import_time):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            is_package = any(name.startswith(f"{module}.") for name in sources)
            parent = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*parent, *([base] if base else [])])
        for alias in node.names:
            found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in sources else base)
    return found


def within(names):
    return {name for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}.")}


def wrong_directions(sources):
    """Imports against the direction, as "importer -> imported"."""
    imports = {module: within(imported(module, sources)) for module in sources}
    ranks = effective_ranks(imports)
    wrong = []
    for module, targets in imports.items():
        own = component(module)
        for target in targets:
            other = component(target)
            if own == other:
                continue
            if own in BESIDE:
                fine = other in BESIDE[own]
            elif own == "models":
                fine = False
            elif own in RANKS:
                # What is no part of the chain (video, classical and the like) is not for the few at its beginning.
                known = other in RANKS or other in BESIDE or RANKS[own] >= RANKS["data"]
                fine = known and ranks.get(other, -1) <= RANKS[own]
            else:
                fine = other != "cli" or own == "__main__"
            if not fine:
                wrong.append(f"{module} -> {target}")
    return sorted(wrong)


def effective_ranks(imports):
    """Rank of every component: its own, or for those outside the chain the highest that they reach."""
    ranks, changed = dict(RANKS), True
    while changed:
        changed = False
        for module, targets in imports.items():
            own = component(module)
            reached = max((ranks.get(component(target), -1) for target in targets), default=-1)
            if own not in RANKS and own not in BESIDE and reached > ranks.get(own, -1):
                ranks[own], changed = reached, True
    return ranks


def foreign_to_models(sources):
    """Packages other than torch that models import."""
    return sorted(
        f"{module} -> {name}"
        for module in sources
        if component(module) == "models"
        for name in imported(module, sources)
        if name.split(".")[0] not in MODELS_MAY_IMPORT
    )


def eager_optionals(sources):
    """Optional packages imported at the top of modules that training needs."""
    return sorted(
        f"{module} -> {name}"
        for module in sources
        if component(module) in WITHOUT_OPTIONAL
        for name in imported(module, sources, at_import_time=True)
        if name.split(".")[0] in OPTIONAL
    )


def cycles(sources):
    """Modules that, by imports that run at import time, import themselves again."""
    graph = {module: within(imported(module, sources, at_import_time=True)) & sources.keys() for module in sources}

    def reachable(start):
        seen, waiting = set(), [*graph[start]]
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph[module]
        return seen

    return sorted(module for module in graph if module in reachable(module))


@pytest.fixture(scope="module")
def sources():
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    assert {PACKAGE, f"{PACKAGE}.models.config", f"{PACKAGE}.cost"} <= found.keys()
    return found


@pytest.mark.parametrize("rule", [wrong_directions, foreign_to_models, eager_optionals, cycles])
def test_package_keeps_the_rule(sources, rule):
    assert rule(sources) == []


PLANTED = [
    (wrong_directions, "lightning_mm.models.x", "from lightning_mm.errors import InputError"),
    (wrong_directions, "lightning_mm.models.x", "import lightning_mm"),
    (wrong_directions, "lightning_mm.models.x", "from .. import cost"),
    (wrong_directions, "lightning_mm.cost", "def f():\n    from lightning_mm.data.rendering import render"),
    (wrong_directions, "lightning_mm.losses", "from lightning_mm.video import read"),
    (wrong_directions, "lightning_mm.data.x", "from lightning_mm import tasks"),
    (wrong_directions, "lightning_mm.tasks", "if True:\n    import lightning_mm.search.sweep"),
    (wrong_directions, "lightning_mm.search", "from lightning_mm.cli import run"),
    (wrong_directions, "lightning_mm.tasks.x", "from lightning_mm.benchmarking import train"),
    (wrong_directions, "lightning_mm.reporting.x", "from lightning_mm.cli import run"),
    (wrong_directions, "lightning_mm.errors", "from lightning_mm.models import Magnifier"),
    (wrong_directions, "lightning_mm.runs", "from lightning_mm.cost import cost"),
    (wrong_directions, "lightning_mm.weights.x", "from lightning_mm.runs import Results"),
    (wrong_directions, "lightning_mm.weights.x", "from lightning_mm.data.rendering import render"),
    (wrong_directions, "lightning_mm", "from lightning_mm.tasks import Magnify"),
    (foreign_to_models, "lightning_mm.models.x", "def f():\n    import numpy.random"),
    (foreign_to_models, "lightning_mm.models.x", "from torchvision.ops import nms"),
    (eager_optionals, "lightning_mm", "import wandb"),
    (eager_optionals, "lightning_mm.models.x", "from optuna.trial import Trial"),
    (eager_optionals, "lightning_mm.data", "try:\n    import av\nexcept ImportError:\n    av = None"),
    (eager_optionals, "lightning_mm.tasks.x", "class A:\n    import lpips"),
    (eager_optionals, "lightning_mm.tasks.x", "if TYPE_CHECKING:\n    pass\nelse:\n    import plotly.express"),
]
ALLOWED = [
    (wrong_directions, "lightning_mm.models.x", "from lightning_mm.models import config"),
    (wrong_directions, "lightning_mm.metrics", "from lightning_mm.losses import l1"),
    (wrong_directions, "lightning_mm.data.x", "from lightning_mm import errors, runs"),
    (wrong_directions, "lightning_mm.cli", "from lightning_mm import search, video"),
    (wrong_directions, "lightning_mm.__main__", "from lightning_mm.cli import run"),
    (wrong_directions, "lightning_mm.weights.x", "from lightning_mm.cost import cost"),
    (foreign_to_models, "lightning_mm.models.x", "import math\nfrom torch import nn"),
    (foreign_to_models, "lightning_mm.data.x", "import numpy"),
    (eager_optionals, "lightning_mm.tasks.x", "def f():\n    import wandb"),
    (eager_optionals, "lightning_mm.tasks.x", "if typing.TYPE_CHECKING:\n    import wandb"),
    (eager_optionals, "lightning_mm.reporting", "import plotly"),
]


@pytest.mark.parametrize(("rule", "module", "source"), PLANTED)
def test_rule_finds_a_planted_fault(rule, module, source):
    known = dict.fromkeys([f"{PACKAGE}.{name}" for name in (*RANKS, *filter(None, BESIDE), "video")], "")
    assert [found.split(" -> ")[0] for found in rule(known | {PACKAGE: "", module: source})] == [module]


@pytest.mark.parametrize(("rule", "module", "source"), ALLOWED)
def test_rule_lets_the_rest_pass(rule, module, source):
    known = dict.fromkeys([f"{PACKAGE}.{name}" for name in (*RANKS, *filter(None, BESIDE), "video")], "")
    assert rule(known | {PACKAGE: "", module: source}) == []


def test_a_detour_does_not_hide_the_direction():
    detour = {f"{PACKAGE}.data": "from lightning_mm import a", f"{PACKAGE}.a": "from lightning_mm import b"}
    planted = {PACKAGE: "", f"{PACKAGE}.search": "", f"{PACKAGE}.b": "from lightning_mm import search", **detour}
    assert wrong_directions(planted) == ["lightning_mm.data -> lightning_mm.a"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("from lightning_mm.b import y", "import lightning_mm.a", ["lightning_mm.a", "lightning_mm.b"]),
        ("from . import b", "from .a import x", ["lightning_mm.a", "lightning_mm.b"]),
        ("from lightning_mm import b", "def f():\n    from lightning_mm import a", []),
        ("from lightning_mm import b", "if TYPE_CHECKING:\n    from lightning_mm import a", []),
        ("from lightning_mm import a", "", ["lightning_mm.a"]),
        ("from lightning_mm import z", "", ["lightning_mm", "lightning_mm.a"]),
    ],
)
def test_cycles_are_found(first, second, expected):
    planted = {PACKAGE: "from lightning_mm.a import x", f"{PACKAGE}.a": first, f"{PACKAGE}.b": second}
    assert cycles(planted) == expected


def test_importing_the_package_loads_no_heavy_package():
    heavy = sorted(OPTIONAL | {"lightning", "pytorch_lightning", "torchmetrics", "torchvision"})
    code = f"import sys, lightning_mm; print(sorted(set({heavy}) & sys.modules.keys()))"
    path = os.pathsep.join([str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
