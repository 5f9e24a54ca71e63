"""What Arize asks of an evaluator's own Python: it is read here, and never run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MODULE: Final = "arize.experimental.datasets.experiments.evaluators.base"
_BASE: Final = "CodeEvaluator"
_WHOLE_ROW: Final = "dataset_row"


def trouble_with_code(
    code: str, imports: str | None, class_name: str | None, variables: Sequence[str]
) -> str | None:
    """Return what keeps a code evaluator from being loaded, or from being given anything, or None.

    :param code: the class.
    :param imports: what is put before it.
    :param class_name: the class, where it is named.
    :param variables: what evaluate() is given.
    """
    try:
        tree, imported = ast.parse(code), ast.parse(imports or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the code cannot be parsed: {error}"
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        return "the code holds an import: all of them belong to the imports"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if class_name in (None, node.name)]
    if not found:
        return f"the code defines no class {class_name or 'that evaluates'}"
    if not any(_base_name(base) == _BASE for base in found[0].bases):
        return f"the class {found[0].name} does not extend {_BASE}"
    if not _imports_base(imported.body):
        return f"the imports lack {_BASE} of {_MODULE}, the only path that there is where the code runs"
    methods = [
        node for node in found[0].body if isinstance(node, ast.FunctionDef) and node.name == "evaluate"
    ]
    if not methods:
        return f"the class {found[0].name} has no method evaluate()"
    return _trouble_with_signature(methods[0].args, variables)


def _trouble_with_signature(arguments: ast.arguments, variables: Sequence[str]) -> str | None:
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    names = {*positional[1:], *(each.arg for each in arguments.kwonlyargs)}
    if positional[:1] != ["self"] or not names:
        return "evaluate() has the wrong signature: it takes self and names each variable that it is given"
    unnamed = [name for name in variables if name not in names]
    if unnamed and _WHOLE_ROW not in names:
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
