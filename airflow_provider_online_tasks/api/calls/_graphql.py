"""What a GraphQL mutation is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class GraphQLCall(Generic[T]):
    """A GraphQL mutation with one ``$input`` variable.

    :param name: the mutation.
    :param input_type: name of the variable's type, as documented.
    :param selection: what is read of the payload.
    :param input: the variable's value.
    :param read: how to read the payload; KeyError, TypeError and ValueError mean that it is malformed.
    """

    name: str
    input_type: str
    selection: str
    input: Mapping[str, Any]
    read: Callable[[dict[str, Any]], T]
    repeatable: bool = False

    def document(self, input_type: str | None = None) -> str:
        """Return the GraphQL document. User values are no part of it."""
        return (
            f"mutation ($input: {input_type or self.input_type}!) "
            f"{{ {self.name}(input: $input) {{ {self.selection} }} }}"
        )


_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")
# The first and the last are confirmed by Arize's own code, the second follows their pattern.
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
    """Read the real type of a mutation's ``input`` argument from the answer to :data:`ARGUMENT_TYPES`."""
    for fields in (data.get("__type") or {}).get("fields") or []:
        if fields["name"] == mutation:
            for argument in fields["args"]:
                if argument["name"] == "input":
                    kind = argument["type"]
                    found = kind.get("name") or (kind.get("ofType") or {}).get("name")
                    # It becomes a part of the document, so nothing but a name will do.
                    return found if isinstance(found, str) and _NAME.fullmatch(found) else None
    return None
