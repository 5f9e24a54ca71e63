"""The code blocks of the README and of docs/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
PAGES = (PROJECT / "README.md", *sorted(DOCS.glob("**/*.md")))

FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>\w+)(?:[ ]title=\"(?P<title>[^\"\n]+)\")?[ ]*\n"
    r"(?P<code>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    :param page: the page that contains it.
    :param line: its first line in the page.
    :param language: the language after the fence.
    :param title: the file name, if the block is a complete file.
    :param code: its text.
    """

    page: Path
    line: int
    language: str
    title: str | None
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


INCLUDED = re.compile(r"^--8<-- \"(?P<file>[^\"\n]+)\"$", re.MULTILINE)


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return the blocks of a page in order. Included files are inserted."""
    text = page.read_text(encoding="utf-8")
    return tuple(
        Block(
            page=page,
            line=text.count("\n", 0, found.start("code")) + 1,
            language=found["language"],
            title=found["title"],
            code=INCLUDED.sub(
                lambda include: (PROJECT / include["file"]).read_text(encoding="utf-8"),
                "".join(
                    row[len(found["indent"]) :] if row.strip() else "\n"
                    for row in found["code"].splitlines(keepends=True)
                ),
            ),
        )
        for found in FENCE.finditer(text)
    )


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the complete files of a page into a folder, and return their paths."""
    files = []
    for block in blocks_of(page):
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
            files.append(file)
    return files
