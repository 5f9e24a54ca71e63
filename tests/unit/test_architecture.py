"""The package's layers: imports point down, form no cycle, and leave private modules alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_online_tasks"

# From bottom to top. A module may import modules of the same layer and of the layers below. The longest entry
# that a module's name starts with counts; "" is the front door, __init__.py.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "_airflow", "_clock", "_defaults", "_text", "_times"),
    ("inputs",),
    ("gate",),
    ("api",),
    ("ui.links", "results.counts", "results.human_labels", "results.summary", "results.history", "costs"),
    ("hooks",),
    ("idempotency",),
    ("runs", "eval_tasks", "evaluators", "annotations", "results"),
    ("lineage",),
    ("triggers",),
    ("operators", "sensors", "notifications"),
    ("task_groups", "diagnostics", "ui"),
    ("cli", "get_provider_info", ""),
    ("emulator",),
)
PACKAGE_PATH = PROJECT / PACKAGE


@dataclass(frozen=True)
class Import:
    """An import of one module of the package by another.

    :param importer: the importing module, without the package's name.
    :param imported: the imported module, without the package's name.
    :param name: the name that is imported from it, if any.
    :param is_typing_only: whether it stands under ``if TYPE_CHECKING:``.
    """

    importer: str
    imported: str
    name: str | None
    is_typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}" + (f".{self.name}" if self.name else "")


@cache
def modules() -> dict[str, Path]:
    """Return the modules of the package, without its name, and their files."""
    found = {}
    for file in sorted(PACKAGE_PATH.rglob("*.py")):
        parts = file.relative_to(PACKAGE_PATH).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = file
    return found


@cache
def imports() -> tuple[Import, ...]:
    """Return all imports within the package, those inside functions included."""
    return tuple(found for name, file in modules().items() for found in imports_of(name, file))


def imports_of(importer: str, file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: use absolute imports"
            targets = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for target, name in targets:
            if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
                continue
            module = target.removeprefix(PACKAGE).removeprefix(".")
            submodule = f"{module}.{name}".lstrip(".")
            if name is not None and submodule in modules():
                yield Import(importer, submodule, None, id(node) in typing_only)
            else:
                yield Import(importer, module, name, id(node) in typing_only)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> tuple[int, str]:
    """Return the layer of a module, and the longest entry of that layer which the module belongs to."""
    entries = [
        (len(entry), layer, entry)
        for layer, names in enumerate(LAYERS)
        for entry in names
        if is_within(module, entry)
    ]
    assert entries, f"{module} is in no layer: add it to LAYERS"
    _, layer, entry = max(entries)
    return layer, entry


def is_in_emulator(module: str) -> bool:
    return is_within(module, "emulator")


def product_imports() -> list[Import]:
    return [found for found in imports() if not is_in_emulator(found.importer)]


def runtime_imports() -> list[Import]:
    """Return the imports that layers and cycles are checked for.

    Imports under ``if TYPE_CHECKING:`` may point up. Every module may read ``__version__``, which is in
    ``__init__.py``.
    """
    return [
        found
        for found in product_imports()
        if not found.is_typing_only and (found.imported, found.name) != ("", "__version__")
    ]


def test_every_module_belongs_to_a_layer() -> None:
    for module in modules():
        layer_of(module)


def test_layers_name_only_existing_modules() -> None:
    assert [entry for names in LAYERS for entry in names if entry not in modules()] == []


def test_imports_point_down() -> None:
    upward = {
        str(found) for found in runtime_imports() if layer_of(found.importer)[0] < layer_of(found.imported)[0]
    }
    assert upward == set()


def cycles(edges: set[tuple[str, str]]) -> set[frozenset[str]]:
    """Return the groups of nodes that reach each other."""
    reached = {node: {node} for edge in edges for node in edge}
    for _ in reached:
        for importer, imported in edges:
            reached[importer] |= reached[imported]
    groups = {frozenset(other for other in reached[node] if node in reached[other]) for node in reached}
    return {group for group in groups if len(group) > 1}


def test_modules_form_no_import_cycle() -> None:
    assert cycles({(found.importer, found.imported) for found in runtime_imports()}) == set()


def package_of(module: str) -> str:
    """Return the package at the top of a module, such as ``runs``; ``ui.links`` counts as its own."""
    return "ui.links" if is_within(module, "ui.links") else module.partition(".")[0]


def test_packages_form_no_import_cycle() -> None:
    edges = {(package_of(found.importer), package_of(found.imported)) for found in runtime_imports()}
    assert cycles(edges) == set()


def test_private_modules_and_names_stay_in_their_package() -> None:
    foreign = set()
    for found in product_imports():
        owner = ""
        for part in [*found.imported.split("."), *([found.name] if found.name else [])]:
            is_private = part.startswith("_") and not part.startswith("__")
            if is_private and owner and not is_within(found.importer, owner):
                foreign.add(str(found))
            owner = f"{owner}.{part}".lstrip(".")
    assert foreign == set()


def test_product_imports_nothing_from_the_emulator() -> None:
    assert {str(found) for found in product_imports() if is_in_emulator(found.imported)} == set()
