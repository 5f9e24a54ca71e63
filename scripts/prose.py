"""Check the project's prose: the pages, and the docstrings, comments and messages of the code.

The rules are proselint's and the word list in ``prose.toml``. Code in pages, names in backticks and
f-string fields are not prose.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__ as proselint_checks
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, types
from proselint.tools import LintFile

PROJECT = Path(__file__).resolve().parents[1]
RULES = tomllib.loads(Path(__file__).with_name("prose.toml").read_text(encoding="utf-8"))
CODE_IN_PAGES = re.compile(
    r"^ *```.*?^ *```|<!--.*?-->|`[^`\n]*`|\]\([^)\n]*\)|https?://\S+|<[^>\n]*>", re.DOTALL | re.MULTILINE
)
CODE_IN_TEXTS = re.compile(r"``.*?``|`[^`\n]*`|\{[^{}\n]*\}|:\w+ ?[^:\n]*:|https?://\S+", re.DOTALL)
ALLOWED = re.compile("|".join(RULES["allowed"]))
MINIMUM_WORDS = 3


def blank(match: re.Match[str]) -> str:
    """Return as many spaces and line breaks as the match has, so that positions stay."""
    return re.sub(r"[^\n]", " ", match[0])


def prose_of_page(source: str) -> str:
    """Return a page without its code."""
    return CODE_IN_PAGES.sub(blank, source)


def prose_of_code(source: str) -> str:
    """Return the comments and the texts of a Python file, at their lines."""
    lines = [[" "] * len(line) for line in source.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_text = token.type == tokenize.STRING and len(token.string.split()) >= MINIMUM_WORDS
        if token.type == tokenize.COMMENT or is_text:
            for number, line in enumerate(CODE_IN_TEXTS.sub(blank, token.string).splitlines()):
                first = token.start[1] if number == 0 else 0
                lines[token.start[0] - 1 + number][first : first + len(line)] = line
    return "\n".join("".join(line) for line in lines)


def problems(file: Path) -> Iterator[str]:
    """Yield the problems of a file, each with its place."""
    source = file.read_text(encoding="utf-8")
    text = prose_of_page(source) if file.suffix == ".md" else prose_of_code(source)
    text = ALLOWED.sub(blank, text)
    if not text.strip():
        return
    name = str(file.relative_to(PROJECT))
    for result in LintFile(name, text).lint({**DEFAULT, "checks": RULES["checks"]}):
        yield f"{name}:{result.pos[0]}: {result.check_result.message}"


def main() -> int:
    """Print the problems of the files that git tracks; return 1 if there are any."""
    CheckRegistry().register_many(proselint_checks)
    items = {f"(?:{pattern})": advice for pattern, advice in RULES["words"].items()}
    everywhere = CheckFlags(allow_quotes=True)  # a docstring is a quotation to proselint
    CheckRegistry().register(
        Check(
            check_type=types.PreferredForms(items=items),
            path="guide",
            message="Write '{}' instead of '{}'.",
            flags=everywhere,
        )
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", *sys.argv[1:]], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    found = 0
    for name in listed:
        file = PROJECT / name
        if file.suffix in {".md", ".py"} and name not in RULES["skip"]:
            for problem in problems(file):
                print(problem)
                found += 1
    print(f"{found} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
