"""Summarize a JSON report of pip-audit, and fail if it lists a vulnerability.

``make audit`` calls it. pip-audit also prints "No known vulnerabilities found" if its advisory service knows
none of the packages; this script says so.

usage: scripts/audit.py REPORT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def verdict(report: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code and the summary.

    :param report: the output of ``pip-audit --format json``.
    """
    packages = report["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    audited = [package for package in packages if "vulns" in package]
    findings = [(package, found) for package in audited for found in package["vulns"]]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for package, found in findings
    ]
    if skipped:
        lines.append(f"Not audited: {', '.join(package['name'] for package in skipped)}.")
        lines.append(f"Reason for the first: {skipped[0]['skip_reason']}")
    if findings:
        lines.append(f"Known vulnerabilities: {len(findings)}.")
    elif audited:
        lines.append(f"No known vulnerabilities. Audited {len(audited)} of {len(packages)} packages.")
    else:
        lines.append(f"NOTHING WAS AUDITED: the advisory service knows none of the {len(packages)} packages.")
    return int(bool(findings)), "\n".join(lines)


def main(report: str) -> int:
    """Print the summary of a report file, and return the exit code."""
    code, text = verdict(json.loads(Path(report).read_text(encoding="utf-8")))
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
