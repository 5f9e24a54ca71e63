"""How a probe is told what to do, and tells what it found."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def told() -> dict[str, Any]:
    """Return what the probe is to do."""
    given: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return given


def tell(found: Any) -> None:
    """Say what the probe found."""
    Path(sys.argv[2]).write_text(json.dumps(found))


def memory(what: str = "VmRSS") -> int:
    """Return the bytes this process holds (``VmRSS``), or held at most (``VmHWM``)."""
    [kilobytes] = re.findall(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024
