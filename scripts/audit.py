"""Summarize a JSON report of pip-audit, and fail if it lists a vulnerability.

``make audit`` calls it. pip-audit also prints "No known vulnerabilities found" if its advisory service knows
none of the packages; this script fails then.

usage: scripts/audit.py REPORT

Exit code 0: no known vulnerability. 1: a vulnerability. 3: nothing was audited.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CLEAN, VULNERABLE, NOTHING_AUDITED = 0, 1, 3


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
        code, summary = VULNERABLE, f"Known vulnerabilities: {len(findings)}."
    elif audited:
        code = CLEAN
        summary = f"No known vulnerabilities. Audited {len(audited)} of {len(packages)} packages."
    else:
        code = NOTHING_AUDITED
        summary = f"NOTHING WAS AUDITED: the advisory service knows none of the {len(packages)} packages."
    return code, "\n".join([*lines, summary])


def main(report: str) -> int:
    """Print the summary of a report file, and return the exit code."""
    try:
        content = Path(report).read_text(encoding="utf-8")
    except FileNotFoundError:
        print("NOTHING WAS AUDITED: pip-audit wrote no report.")
        return NOTHING_AUDITED
    code, text = verdict(json.loads(content))
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
