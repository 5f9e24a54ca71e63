"""Print the small changes that cosmic-ray makes to files, one JSON object a line.

``scripts/mutants.py`` runs it in an environment that has cosmic-ray. Of the many ways to replace one operator
at one place it draws one.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# What a type checker notices, or Python's own compiler; and what only says so.
SKIPPED = ("core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter")

Place = tuple[int, int]


def main() -> int:
    """Print the changes of all files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    for file in options.files:
        for change in changes(file, drawn):
            sys.stdout.write(json.dumps(change) + "\n")
    return 0


def changes(file: Path, drawn: random.Random) -> list[dict[str, Any]]:
    """Return a change for each place and kind of operator."""
    text = file.read_text(encoding="utf-8")
    tree = get_ast(text)
    hints = hints_in(text)
    places: dict[tuple[str, Place], list[tuple[str, int]]] = {}
    for name in operator_names():
        if name.startswith(SKIPPED) or get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        found = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(found):
            if not any(first <= start < last for first, last in hints):
                kind = "_".join(name.split("_")[:2])
                places.setdefault((kind, start), []).append((name, occurrence))
    made = []
    for (_, (line, _)), ways in sorted(places.items(), key=lambda item: item[0][::-1]):
        name, occurrence = drawn.choice(ways)
        changed = mutate_code(text, get_operator(name)(), occurrence)
        if changed is not None and changed != text and compiles(changed):
            made.append({"file": str(file), "line": line, "operator": name, "text": changed})
    return made


def hints_in(text: str) -> list[tuple[Place, Place]]:
    """Return where type annotations are: nothing evaluates them."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def compiles(text: str) -> bool:
    """Whether Python takes a text for a program."""
    try:
        compile(text, "changed", "exec")
    except SyntaxError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
