"""Prints pip constraints that pin what `pyproject.toml` names to the lowest version that it allows.

    python tests/matrix/lowest.py > constraints.txt

What those depend on themselves is as new as they let it be.
"""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

__all__ = ["lowest"]

_REQUIREMENT = re.compile(r"([\w.-]+)\s*>=\s*([\w.]+)")


def lowest(pyproject: dict[str, Any]) -> list[str]:
    """One `name==version` for each lower bound, of the dependencies and of every extra."""
    project = pyproject["project"]
    bounds = chain(project["dependencies"], *project["optional-dependencies"].values())
    return [f"{found[1]}=={found[2]}" for bound in bounds if (found := _REQUIREMENT.match(bound))]


if __name__ == "__main__":
    print(*lowest(tomllib.loads(Path("pyproject.toml").read_text("utf-8"))), sep="\n")  # noqa: T201 - its result
