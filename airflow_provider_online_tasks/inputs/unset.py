"""The mark of an argument that was left out, where ``None`` means something else."""

from __future__ import annotations

import enum
from typing import Final, Literal


class Unset(enum.Enum):
    """Its one member is :data:`UNSET`. An enum, so that it survives copying and pickling as itself."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
