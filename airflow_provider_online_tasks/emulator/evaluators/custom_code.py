"""Checks the Python code of an evaluator as Arize does when it loads it. The code never runs."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MODULE: Final = "arize.experimental.datasets.experiments.evaluators.base"
_BASE: Final = "CodeEvaluator"
_ENTIRE_ROW: Final = "dataset_row"


def code_error(
    code: str, imports: str | None, class_name: str | None, variables: Sequence[str]
) -> str | None:
    """Return why a code evaluator cannot be loaded or called, or None.

    :param code: the class.
    :param imports: the imports that precede it.
    :param class_name: the name of the class, if it is given.
    :param variables: the arguments of evaluate().
    """
    try:
        tree, imported = ast.parse(code), ast.parse(imports or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the code cannot be parsed: {error}"
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        return "the code contains an import; put all imports into the imports field"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = next((node for node in classes if class_name in (None, node.name)), None)
    if found is None:
        return f"the code defines no class {class_name or 'that evaluates'}"
    if not any(_base_name(base) == _BASE for base in found.bases):
        return f"the class {found.name} does not extend {_BASE}"
    if not _imports_base(imported.body):
        return f"the imports lack {_BASE} from {_MODULE}, the only module that has it at Arize"
    methods = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "evaluate"]
    if not methods:
        return f"the class {found.name} has no method evaluate()"
    return _signature_error(methods[0].args, variables)


def _signature_error(arguments: ast.arguments, variables: Sequence[str]) -> str | None:
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    names = {*positional[1:], *(each.arg for each in arguments.kwonlyargs)}
    if positional[:1] != ["self"] or not names:
        return "evaluate() has the wrong signature: it must take self and each of its variables by name"
    unnamed = [name for name in variables if name not in names]
    if unnamed and _ENTIRE_ROW not in names:
        return f"evaluate() has the wrong signature: it does not name the variable {unnamed[0]!r}"
    return None


def _imports_base(body: Iterable[ast.stmt]) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == _MODULE
        and any(name.name in (_BASE, "*") for name in node.names)
        for node in body
    )


def _base_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
