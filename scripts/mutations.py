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
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# What a type checker notices, or Python's own compiler; and what only says so.
SKIPPED = ("core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter")

Place = tuple[int, int]
Way = tuple[str, int]


def main() -> int:
    """Print how many changes there are, and then those that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sample", type=int, help="how many are wanted; default: all")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    found = [one for file in options.files for one in places(file)]
    chosen = [(file, line, drawn.choice(ways)) for file, line, ways in found]
    if options.sample is not None and options.sample < len(chosen):
        chosen = sorted(drawn.sample(chosen, options.sample))
    sys.stdout.write(f"{len(found)}\n")
    for file, line, (name, occurrence) in chosen:
        text = file.read_text(encoding="utf-8")
        changed = mutate_code(text, get_operator(name)(), occurrence)
        if changed is not None and changed != text and compiles(changed):
            change = {"file": str(file), "line": line, "operator": name, "text": changed}
            sys.stdout.write(json.dumps(change) + "\n")
    return 0


def places(file: Path) -> Iterator[tuple[Path, int, list[Way]]]:
    """Yield each place where a kind of operator changes something: its file, line and the ways to do it."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    nodes = list(ast_nodes(get_ast(text)))
    hints = hints_in(text)
    found: dict[tuple[Place, str], list[Way]] = {}
    for name in operator_names():
        if is_skipped(name):
            continue
        operator = get_operator(name)()
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            is_mark = lines[start[0] - 1].startswith("*,", start[1])  # what follows is given by name
            if not is_mark and not any(first <= start < last for first, last in hints):
                kind = "_".join(name.split("_")[:2])
                found.setdefault((start, kind), []).append((name, occurrence))
    for ((line, _), _), ways in sorted(found.items()):
        yield file, line, ways


def is_skipped(name: str) -> bool:
    """Whether an operator is of no use: Python itself warns of `1 is 2`."""
    is_identity = name.endswith(("_Is", "_IsNot")) and "Operator_Is" not in name
    return name.startswith(SKIPPED) or is_identity or bool(get_operator(name).arguments())


def hints_in(text: str) -> list[tuple[Place, Place]]:
    """Return what is for a type checker, which notices each change, or for speed alone.

    Annotations, which nothing evaluates; what a dataclass is declared to be; ``if TYPE_CHECKING``; how many
    results a function keeps.
    """
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.arg() | ast.AnnAssign():
                found.append(node.annotation)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.append(node.returns)
                found += [one for one in node.decorator_list if "lru_cache" in ast.unparse(one)]
            case ast.ClassDef():
                found += [one for one in node.decorator_list if "dataclass" in ast.unparse(one)]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                found.append(node.test)
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
