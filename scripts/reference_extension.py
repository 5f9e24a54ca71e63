"""What the generated reference reads out of the package beyond what griffe does by itself.

- The docstrings' roles and literals become Markdown, and roles links.
- An operator takes ``conn_id`` through its base; the reference lists it with the class's own arguments.
- Fields of inputs are the arguments of their classes, and constants show their value.

mkdocs.yml names this file as an extension of griffe, which mkdocstrings reads the package with.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import re
from collections.abc import Iterator
from typing import Any

import griffe  # type: ignore[import-not-found]

ROLE = re.compile(r":(class|data|func|meth|mod):`(~?)([\w.]+)`")
PACKAGE = "airflow_provider_online_tasks"

# How an input's field is read, in `OneOrMore[TemplateEvaluator]` and `Patch[Text]`.
ONE_OR_MORE, PATCH = re.compile(r"OneOrMore\[(\w+)\]"), re.compile(r"Patch\[(.*)\]$")


class ReferenceExtension(griffe.Extension):  # type: ignore[misc]
    """Prepares the package for the reference. The dataclasses extension has to come before it."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Prepare every class and function once all of the package is read."""
        for found in list(_objects(pkg)):
            if found.docstring is not None:
                found.docstring.value = _markdown(found.docstring.value, found)
            if found.is_class:
                _read_fields(found)
                if "__init__" in found.members:
                    _take_conn_id(found)
                    _show_constants(found)


def _objects(found: Any) -> Iterator[Any]:
    yield found
    for member in found.members.values():
        if not member.is_alias:
            yield from _objects(member)


def _markdown(text: str, found: Any) -> str:
    def link(role: re.Match[str]) -> str:
        kind, is_short, target = role.groups()
        shown = target.rpartition(".")[2] if is_short else target
        path = target
        if "." not in target:
            owner = found if found.is_class else found.parent
            path = f"{(owner if kind == 'meth' else found.module).path}.{target}"
        # Optional: a role may name what the reference does not hold.
        return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'

    text = ROLE.sub(link, text).replace("``", "`")
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)


def _read_fields(cls: Any) -> None:
    """Give an input the ``__init__`` that its fields stand for."""
    lineage = [*reversed(cls.mro()), cls]
    if not any(holder.name == "WireInput" for holder in lineage):
        return
    fields = {
        name: member
        for holder in lineage
        for name, member in holder.members.items()
        if member.is_attribute and "ClassVar" not in str(member.annotation) and name != "model_config"
    }
    kinds = _kinds(cls)
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    for name, member in fields.items():
        default = None if member.value is None else str(member.value)
        parameters.append(
            griffe.Parameter(
                name,
                kind=griffe.ParameterKind.keyword_only,
                annotation=_shown_kind(str(member.annotation), kinds),
                default="{}" if default and "default_factory=dict" in default else default,
            )
        )
    init = griffe.Function("__init__", parameters=griffe.Parameters(*parameters), parent=cls)
    cls.set_member("__init__", init)


def _kinds(cls: Any) -> dict[str, str]:
    """Return what the names for kinds of values stand for."""
    found = {}
    for module in cls.module.modules_collection[f"{PACKAGE}.inputs"].modules.values():
        for node in ast.parse(module.filepath.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Subscript):
                continue
            (name,), kind = node.targets, node.value
            if isinstance(name, ast.Name) and isinstance(kind.slice, ast.Tuple):
                is_annotated = ast.unparse(kind.value) == "Annotated"
                found[name.id] = ast.unparse(kind.slice.elts[0] if is_annotated else kind)
    return found


def _shown_kind(annotation: str, kinds: dict[str, str]) -> str:
    annotation = PATCH.sub(r"\1", annotation)
    annotation = re.sub(r"^(\w*LlmConfig)\b", r"\1 | dict", annotation)
    annotation = ONE_OR_MORE.sub(r"\1 | dict | Sequence[\1 | dict]", annotation)
    return re.sub(r"\w+", lambda word: kinds.get(word[0], word[0]), annotation)


def _take_conn_id(cls: Any) -> None:
    own = cls.members["__init__"].parameters
    if "conn_id" in own or "kwargs" not in own:
        return
    for base in cls.mro():
        init = base.members.get("__init__")
        if init is not None and "conn_id" in init.parameters:
            taken = copy.copy(init.parameters["conn_id"])
            # The constant is one of the base's module, which this class's module need not import.
            value = _constant(base.module, str(taken.default))
            taken.default = taken.default if value is None else repr(value)
            own.add(taken)
            return


def _show_constants(cls: Any) -> None:
    """Let defaults that are named constants show their values."""
    for parameter in cls.members["__init__"].parameters:
        name, _, place = str(parameter.default).partition("[")
        value = _constant(cls.module, name)
        if value is not None:
            parameter.default = repr(value[int(place[:-1])] if place else value)


def _constant(module: Any, name: str) -> Any:
    """Return the value of a constant that a module has or imports, or None if there is none."""
    for node in ast.parse(module.filepath.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            targets, values = node.targets, [node.value]
            if isinstance(targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                targets, values = targets[0].elts, node.value.elts
            for one, literal in zip(targets, values, strict=False):
                if isinstance(one, ast.Name) and one.id == name:
                    with contextlib.suppress(ValueError):
                        return ast.literal_eval(literal)
        elif isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            package = (node.module or "").startswith(PACKAGE)
            return _constant(module.modules_collection[node.module], name) if package else None
    return None
