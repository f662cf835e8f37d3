"""What the server tells other processes about itself, and what they may do to it: no part of SDRS or IAM."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import parse_qsl

from sdrs_async.simulator import log
from sdrs_async.simulator.answers import Answer, document
from sdrs_async.simulator.log import Entry

PREFIX = "/simulator/"
_CALLS = "there are /simulator/log, /simulator/summary, POST /simulator/reset and POST /simulator/limits"


class Inspected(Protocol):
    """A server that can be asked and told."""

    log: list[Entry]

    @property
    def remaining(self) -> int:
        """How many failed tasks there are."""

    def reset(self) -> None:
        """Start afresh."""

    def change_limits(self, **rates: str | None) -> None:
        """Other limits from now on."""


class Inspection:
    """Answers the calls below `PREFIX`, without a credential.

    GET `log` (JSON Lines); GET `summary` (`per`, `by`, `route` as in `most_in_window`); POST `reset`; POST `limits`
    (`project`, `user`, `address`, `endpoint`: a rate or `none` for each that changes, as in `limits?user=10/s`).
    """

    def __init__(self, server: Inspected) -> None:
        self._server = server

    def answer(self, call: str, query: str) -> Answer:
        """`call`: method and path, as in `GET /simulator/log`. What cannot be read is answered 400."""
        wanted = dict(parse_qsl(query, keep_blank_values=True))
        try:
            return self._answer(call, wanted)
        except ValueError as error:
            return document({"error": str(error)}, 400)

    def _answer(self, call: str, wanted: dict[str, str]) -> Answer:
        match call:
            case "GET /simulator/log":
                lines = "".join(log.json_lines(self._server.log))
                return Answer(200, lines.encode(), {"Content-Type": "application/jsonl"})
            case "GET /simulator/summary":
                return self._summary(wanted)
            case "POST /simulator/reset":
                self._server.reset()
            case "POST /simulator/limits":
                self._server.change_limits(**wanted)
            case _:
                return document({"error": _CALLS}, 404)
        return Answer(204)

    def _summary(self, wanted: dict[str, str]) -> Answer:
        per, by = float(wanted.get("per", "1")), wanted.get("by", "project_id")
        counts = log.summary(self._server.log, per, wanted.get("route"), by)
        return document({**counts, "remaining": self._server.remaining})
