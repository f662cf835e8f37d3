"""What the documents show: their fenced blocks, and words that can be compared where the numbers differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "Step", "blocks", "is_shown", "steps", "words"]

ROOT = Path(__file__).resolve().parents[2]


class Block(NamedTuple):
    """A fenced block. `place`: file and line; `language`: what stands behind the fence."""

    place: str
    language: str
    text: str


class Step(NamedTuple):
    """A command line and what it shows, lines of `...` standing for any."""

    command: str
    shown: str


def blocks(name: str) -> list[Block]:
    """All fenced blocks of a document, however they are fenced. `ValueError` for one that is not closed."""
    found: list[Block] = []
    opened: tuple[str, int, list[str]] | None = None
    for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1):
        fence = re.match(r"\s*(`{3,}|~{3,})\s*(.*)", line)
        if opened is None and fence:
            opened = fence[2].strip(), number, []
        elif opened is not None and fence and not fence[2]:
            found.append(Block(f"{name}:{opened[1]}", opened[0], "\n".join(opened[2])))
            opened = None
        elif opened is not None:
            opened[2].append(line)
    if opened is not None:
        raise ValueError(f"{name}:{opened[1]}: this block has no end")
    return found


def steps(text: str) -> Iterator[Step]:
    """The commands of a block, each with the lines up to the next one."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown)


def words(text: str) -> str:
    """The words of a text on one line: numbers, ids and units of time are alike, and so are line ends and blanks."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    text = re.sub(r"\d[\d.,:]*(?<=\d)", "N", text)
    return " ".join(re.sub(r"(?<=N )(ms|s|min)\b", "TIME", " ".join(text.split())).split())


def is_shown(expected: str, actual: str) -> bool:
    """Whether the words of each part between lines of `...` are there, in this order."""
    rest = words(actual)
    for part in filter(None, map(words, re.split(r"^\s*\.\.\.$", expected, flags=re.MULTILINE))):
        _, found, rest = rest.partition(part)
        if not found:
            return False
    return True
