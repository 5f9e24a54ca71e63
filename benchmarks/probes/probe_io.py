"""Read the arguments of a probe, write its result, and measure memory."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def read_arguments() -> dict[str, Any]:
    """Return the probe's arguments."""
    arguments: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return arguments


def write_result(result: Any) -> None:
    """Store the probe's result."""
    Path(sys.argv[2]).write_text(json.dumps(result))


def memory(field: str = "VmRSS") -> int:
    """Return the bytes that this process holds (``VmRSS``), or held at most (``VmHWM``)."""
    [kilobytes] = re.findall(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024
