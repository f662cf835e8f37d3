"""Faults: what goes wrong, how often, and with whom; drawn so that a run repeats whatever the order of arrival."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from sdrs_async.simulator.answers import Answer, iam_error, iam_throttled, status_error, throttled
from sdrs_async.simulator.routes import IAM_ROUTES, ROUTES, Call

KINDS = ("status", "latency", "hang", "reset-before", "reset-after", "cut-off", "wrong-json", "close")
_FORM = re.compile(r"(?P<kind>[a-z-]+|\d+)(@(?P<route>\w+))?=(?P<share>[\d.]+)(?P<percent>%?)(:(?P<seconds>[\d.]+))?")
_BROKEN_JSON = b'{"error": {"code": "SDRS.0013", "message": "Internal er'


@dataclass(frozen=True)
class Fault:
    """One kind of trouble on one route. `ValueError` for values out of range.

    `kind`: `status` (that status instead of the work), `latency` (the work, answered `seconds` later), `hang` (no work,
    no answer until the client goes away), `reset-before` and `reset-after` (the connection is reset before or after the
    work is done), `cut-off` (a body shorter than its Content-Length: of a read the answer, else of a 500 without the
    work), `wrong-json` (a 500 with broken JSON, without the work), `close` (the work and its answer, after which the
    connection is closed).
    `share`: of the requests, 0..1. `body` and `headers`: for `status`, instead of what fits it. `only`: ids of projects
    and groups it is limited to. `times`: only the first so many arrivals of each target.
    """

    kind: str
    share: float = 1.0
    route: str = "delete_group_failures"
    status: int = 503
    seconds: float = 0.5
    body: str | bytes | Mapping[str, object] | None = None
    headers: Mapping[str, str] | None = None
    only: Collection[str] | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault {self.kind!r} is not known: use a status or one of {', '.join(KINDS)}")
        if self.route not in ROUTES:
            raise ValueError(f"route {self.route!r} is not known: use one of {', '.join(sorted(ROUTES))}")
        if not 0 <= self.share <= 1 or not 200 <= self.status <= 599 or not 0 <= self.seconds < float("inf"):
            raise ValueError("a fault needs a share of 0..1 (0..100%), a status of 200..599 and seconds of 0 or more")
        if self.only is not None:
            object.__setattr__(self, "only", frozenset([self.only] if isinstance(self.only, str) else self.only))

    @classmethod
    def parse(cls, text: str) -> Self:
        """A fault from `KIND[@ROUTE]=SHARE[:SECONDS]`, as in `503=5%` or `latency@list_groups=0.02:0.5`.

        A number is a kind too: that status. `ValueError` says what is wrong and shows the form.
        """
        try:
            found = _FORM.fullmatch(text)
            if found is None:
                raise ValueError("it has another form")
            kind, share = found["kind"], float(found["share"]) / (100 if found["percent"] else 1)
            return cls(
                "status" if kind.isdecimal() else kind,
                share,
                route=found["route"] or cls.route,
                status=int(kind) if kind.isdecimal() else cls.status,
                seconds=float(found["seconds"] or cls.seconds),
            )
        except ValueError as error:
            form = "write it as KIND[@ROUTE]=SHARE[:SECONDS], like 503=5% or latency=0.02:0.5"
            raise ValueError(f"fault {text!r} is not understood ({error}): {form}") from error

    def concerns(self, call: Call, nth: int) -> bool:
        """Whether the `nth` arrival (from 0) of a call's target can meet this fault at all."""
        if self.times is not None and nth >= self.times:
            return False
        return self.only is None or call.project_id in self.only or call.server_group_id in self.only


class Faults:
    """The faults of one server. Which one an arrival meets depends on the seed, its route, its target and its count.

    The target of a sign-in is the project that it is for. `policy` and `iam_threshold`: the limits that a 429 names.

    Faults of one route exclude each other: their shares are added up in their order, and what exceeds 1 is never drawn.
    """

    def __init__(self, faults: Collection[Fault], seed: int, policy: str, iam_threshold: str) -> None:
        self._by_route = {route: [fault for fault in faults if fault.route == route] for route in ROUTES}
        self._seed = seed
        self._policy = policy
        self._iam_threshold = iam_threshold
        self._arrivals: Counter[Call] = Counter()

    def forget(self) -> None:
        """As if nothing had arrived yet."""
        self._arrivals.clear()

    def draw(self, call: Call) -> Fault | None:
        """The fault that this arrival meets. Counts it: call once for each arrival that got this far."""
        faults = self._by_route[call.route]
        if not faults:
            return None
        nth = self._arrivals[call]
        self._arrivals[call] = nth + 1
        point = self._point(call, nth)
        for fault in faults:
            if fault.concerns(call, nth):
                point -= fault.share
                if point < 0:
                    return fault
        return None

    def _point(self, call: Call, nth: int) -> float:
        """A number in [0, 1) that only seed, route, target and count decide."""
        key = json.dumps([self._seed, *call, nth]).encode()
        return int.from_bytes(blake2b(key, digest_size=6).digest(), "big") / (1 << 48)

    def answer(self, fault: Fault, call: Call, request_id: str, work: Callable[[], Answer]) -> Answer:
        """The answer of a request that meets a fault; `work` does what was asked for, where the kind lets it."""
        match fault.kind:
            case "latency":
                answer = work()._replace(delay=fault.seconds)
            case "close":
                answer = work()._replace(last=True)
            case "reset-after":
                answer = work()._replace(lost="reset")
            case "reset-before":
                answer = Answer(0, lost="reset")
            case "hang":
                answer = Answer(0, lost="hang")
            case "wrong-json":
                answer = Answer(500, _BROKEN_JSON)
            case "cut-off":
                answer = _cut_off(status_error(500, request_id) if call.route.startswith(_WRITES) else work())
            case _:
                answer = self._status(fault, call, request_id)
        return answer

    def _status(self, fault: Fault, call: Call, request_id: str) -> Answer:
        if fault.body is not None:
            answer = Answer(fault.status, _encoded(fault.body))
        elif fault.status == 429:
            in_iam = call.route in IAM_ROUTES
            answer = iam_throttled(self._iam_threshold) if in_iam else throttled(self._policy, request_id)
        elif call.route in IAM_ROUTES:
            answer = iam_error(fault.status, "The request could not be served.")
        else:
            answer = status_error(fault.status, request_id)
        return answer._replace(headers=fault.headers or {})


_WRITES = ("delete_", "create_")


def _cut_off(answer: Answer) -> Answer:
    return answer._replace(body=answer.body[: len(answer.body) // 2], length=len(answer.body))


def _encoded(body: str | bytes | Mapping[str, object]) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
