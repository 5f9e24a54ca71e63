"""Check the project's prose: the pages, and the docstrings, comments, messages and test names of the code.

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


def prose_of_token(token: tokenize.TokenInfo, before: str) -> str:
    """Return the prose of a comment, a text or a test's name; an empty text for other tokens."""
    if before == "def" and token.string.startswith("test_"):
        return f".    {token.string[5:].replace('_', ' ')}."
    is_text = token.type == tokenize.STRING and len(token.string.split()) >= MINIMUM_WORDS
    return CODE_IN_TEXTS.sub(blank, token.string) if is_text or token.type == tokenize.COMMENT else ""


def prose_of_code(source: str) -> str:
    """Return the prose of a Python file, at its lines."""
    lines = [[" "] * len(line) for line in source.splitlines()]
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        for number, line in enumerate(prose_of_token(token, before).splitlines()):
            first = token.start[1] if number == 0 else 0
            lines[token.start[0] - 1 + number][first : first + len(line)] = line
        before = token.string
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
