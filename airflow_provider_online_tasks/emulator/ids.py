"""Global IDs as Arize writes them: base64 of ``Type:number:suffix``."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

_SUFFIX = "qRwX"
_DECODED = re.compile(r"(?P<type>[A-Za-z]+):(?P<number>\d+):(?P<suffix>[A-Za-z0-9]+)")


class GlobalId(NamedTuple):
    """The parts of a global ID."""

    type: str
    number: int
    suffix: str


def encode(type_name: str, number: int) -> str:
    """Return a global ID."""
    return base64.b64encode(f"{type_name}:{number}:{_SUFFIX}".encode()).decode()


def decode(value: str) -> GlobalId | None:
    """Return the parts of a global ID, or None if the text is not a global ID."""
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        return None
    match = _DECODED.fullmatch(text)
    return GlobalId(match["type"], int(match["number"]), match["suffix"]) if match else None


ORGANIZATION_ID = encode("AccountOrganization", 1)
SPACE_ID = encode("Space", 1)
PROJECT_ID = encode("Model", 1)
SECOND_PROJECT_ID = encode("Model", 2)
USER_ID = encode("User", 1)

ORGANIZATION_NAME = "Emulated organization"
SPACE_NAME = "Emulated space"
PROJECT_NAME = "support-assistant"
PROJECTS = {PROJECT_ID: PROJECT_NAME, SECOND_PROJECT_ID: "search-assistant"}
