"""UNSET marks an argument that was left out, where ``None`` has another meaning."""

from __future__ import annotations

import enum
from typing import Final, Literal


class Unset(enum.Enum):
    """The type of :data:`UNSET`. An enum, so that copies and pickles are the same object."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
