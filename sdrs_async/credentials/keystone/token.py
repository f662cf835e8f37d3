"""What a sign-in gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HEADER", "Token"]

HEADER = "X-Auth-Token"
# A request that carries the token must have been read by the server before the token expires.
_MARGIN = 120.0
_MARGIN_SHARE = 0.2


@dataclass(slots=True)
class Token:
    """A token, in the header that it is sent in. One is held per project, so there is nothing else in it.

    `life`: seconds it is good from its issue, `inf` if the server does not say; `project_id`: of the scope it has;
    `endpoint`: of the service, by its catalog; `good_until`: on the clock that its owner counts by.
    """

    headers: Mapping[str, str] = field(repr=False)
    life: float = float("inf")
    project_id: str | None = None
    endpoint: str | None = None
    good_until: float = float("inf")

    def hold(self, asked_at: float) -> None:
        """It was asked for at this time; issued later, it is good a little longer than this counts."""
        self.good_until = asked_at + self.life - min(_MARGIN, _MARGIN_SHARE * self.life)

    def refuse(self) -> None:
        """A server has refused it: it is good no longer."""
        self.good_until = float("-inf")
