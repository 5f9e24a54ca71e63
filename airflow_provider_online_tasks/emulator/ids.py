"""Global identifiers as Arize writes them: base64 of ``Type:number:suffix``."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

_SUFFIX = "qRwX"
_DECODED = re.compile(r"(?P<type>[A-Za-z]+):(?P<number>\d+):(?P<suffix>[A-Za-z0-9]+)")


class GlobalId(NamedTuple):
    """The parts of a global identifier."""

    type: str
    number: int
    suffix: str


def encode(type_name: str, number: int) -> str:
    """Write a global identifier."""
    return base64.b64encode(f"{type_name}:{number}:{_SUFFIX}".encode()).decode()


def decode(value: str) -> GlobalId | None:
    """Read a global identifier, or None where the text is none."""
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
SECOND_PROJECT_NAME = "search-assistant"
PROJECTS = {PROJECT_ID: PROJECT_NAME, SECOND_PROJECT_ID: SECOND_PROJECT_NAME}
