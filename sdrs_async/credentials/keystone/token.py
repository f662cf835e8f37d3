"""What a sign-in gives; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HEADER", "Token"]

HEADER = "X-Auth-Token"


@dataclass(slots=True)
class Token:
    """A token, in the header that it is sent in. One is held per project, so there is nothing else in it.

    `life`: seconds it is good from its issue, `inf` if the server does not say; `project_id`: of the scope it has;
    `endpoint`: of the service, by its catalog; `good_until`: on the clock of the `Tokens` that hold it, which set it.
    """

    headers: Mapping[str, str] = field(repr=False)
    life: float = float("inf")
    project_id: str | None = None
    endpoint: str | None = None
    good_until: float = float("inf")
