"""The tokens that were issued: what each is good for, until when, and whether it was revoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sdrs_async.simulator.ids import digest


@dataclass(slots=True)
class Token:
    """One token. `number`: its place in the order of issue; `issued`, `expires`: POSIX seconds.

    `project_id`: the project it is scoped to, `None` for a domain or for nothing; `everywhere`: good for every project.
    """

    text: str = field(repr=False)
    number: int
    project_id: str | None
    issued: float
    expires: float
    everywhere: bool = False
    revoked: bool = False

    def good_for(self, project_id: str | None) -> bool:
        """Whether a call inside this project may carry it."""
        return self.everywhere or self.project_id == project_id


class Tokens:
    """All tokens of one server. `life`: seconds that a new one is good; `clock`: POSIX seconds now."""

    def __init__(self, seed: int, life: float, clock: Callable[[], float]) -> None:
        if not life > 0:
            raise ValueError(f"a token lives longer than 0 seconds, not {life}")
        self._seed = seed
        self._life = life
        self._clock = clock
        self.everywhere = Token(f"SIM-{digest(seed, 'fleet token')}", 0, None, clock(), float("inf"), everywhere=True)
        self._by_text = {self.everywhere.text: self.everywhere}

    def issue(self, project_id: str | None, latest: float) -> Token:
        """A new token, good for the life of one or until `latest`; those before it stay good."""
        number, now = len(self._by_text), self._clock()
        text = f"SIM-{digest(self._seed, f'token {number}')}"
        token = Token(text, number, project_id, now, min(now + self._life, latest))
        self._by_text[text] = token
        return token

    def find(self, text: str | None) -> Token | None:
        """The token that reads like this, whether it is still good or not."""
        return self._by_text.get(text or "")

    def refusal(self, token: Token | None) -> str | None:
        """Why a token is not good any more, in the words of the gateway; `None` when it is."""
        if token is None or token.revoked:
            return "decrypt token fail"
        return "token expired" if self._clock() >= token.expires else None

    def revoke(self, project_id: str | None, *, everywhere: bool) -> None:
        """Void what was issued until now: for this project, or with `None` all; `everywhere`: that token too."""
        for token in self._by_text.values():
            if token.everywhere:
                token.revoked |= everywhere
            else:
                token.revoked |= project_id in (None, token.project_id)
