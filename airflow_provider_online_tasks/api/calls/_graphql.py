"""A GraphQL mutation as a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class GraphQLCall(Generic[T]):
    """A GraphQL mutation with one ``$input`` variable.

    :param name: name of the mutation.
    :param input_type: name of the variable's type, as documented.
    :param selection: the selected fields of the payload.
    :param input: the variable's value.
    :param read: reads the payload; KeyError, TypeError and ValueError mean that it is malformed.
    :param repeatable: whether executing it twice is harmless.
    """

    name: str
    input_type: str
    selection: str
    input: Mapping[str, Any]
    read: Callable[[dict[str, Any]], T]
    repeatable: bool = False

    def document(self, input_type: str | None = None) -> str:
        """Return the GraphQL document. It contains no values of the user."""
        return (
            f"mutation ($input: {input_type or self.input_type}!) "
            f"{{ {self.name}(input: $input) {{ {self.selection} }} }}"
        )


_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")
# Arize's own code confirms the first and the last; the second follows their pattern.
MUTATION_INPUT_TYPES = {
    "createEvalTask": "CreateEvalTaskMutationInput",
    "patchEvalTask": "PatchEvalTaskMutationInput",
    "runOnlineTask": "RunOnlineTaskMutationInput",
}
TYPE_NAME = "{ __typename }"
ARGUMENT_TYPES = (
    '{ __type(name: "Mutation") { fields { name args { name type { name ofType { name } } } } } }'
)


def argument_type(data: Mapping[str, Any], mutation: str) -> str | None:
    """Return the type of a mutation's ``input`` argument, from the response to :data:`ARGUMENT_TYPES`."""
    for field in (data.get("__type") or {}).get("fields") or []:
        if field["name"] == mutation:
            for argument in field["args"]:
                if argument["name"] == "input":
                    kind = argument["type"]
                    name = kind.get("name") or (kind.get("ofType") or {}).get("name")
                    # It becomes a part of the document, so it must be a name.
                    return name if isinstance(name, str) and _NAME.fullmatch(name) else None
    return None
