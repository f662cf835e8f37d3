"""The network between a client and the gateway: how long each way takes, what is lost, what the gateway answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from heapq import heappush, heapreplace
from random import Random

from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy


class Failure(Enum):
    """Why there is no answer."""

    CLOSED = "the connection was closed"
    TIMED_OUT = "no answer within the time"


Answer = Policy | Failure | None
"""The policy that refused the request, or why no answer came; `None`: it was let in and answered."""


@dataclass(frozen=True, slots=True)
class Network:
    """Seconds of the way there, the service's work and the way back, and what makes them differ.

    `jitter`: up to so many seconds more, evenly distributed, a random part of them on the way there; `lost`: share of
    answers that never come because the connection is closed after the gateway has counted the request, `hung`: the
    same with the client left to its time-out; `setup`: seconds that a new connection takes at most, and half of it at
    least, and a connection is kept and used again; `at_once`: requests that the service works on at a time, the others
    queue for it. `None`: any number.
    """

    there: float = 0.005
    work: float = 0.01
    back: float = 0.005
    jitter: float = 0.0
    lost: float = 0.0
    hung: float = 0.0
    setup: float = 0.0
    at_once: int | None = None

    @property
    def round_trip(self) -> float:
        """The mean seconds from sending to the answer, on a connection that is open."""
        return self.there + self.work + self.back + self.jitter / 2


class World:
    """One network with a gateway behind it, on the time of the loop that runs."""

    def __init__(self, gateway: Gateway, network: Network, rng: Random) -> None:
        self.gateway = gateway
        self._network = network
        self._rng = rng
        self._open = 0  # connections that are not in use
        self._workers: list[float] = []  # until when each of the service's is busy
        self._loop = asyncio.get_running_loop()

    def ask(self, caller: Caller, timeout: float = 30.0) -> asyncio.Future[Answer]:
        """Send one request; what comes of it, at most `timeout` seconds later."""
        network, random = self._network, self._rng.random
        there, back = network.there, network.back
        if network.jitter:
            jitter = network.jitter * random()
            part = jitter * random()
            there, back = there + part, back + jitter - part
        if network.setup:
            there += self._connect()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        now = self._loop.time()
        self._loop.call_at(now + there, self._arrive, caller, answer, back, now + timeout)
        return answer

    def _connect(self) -> float:
        if self._open:
            self._open -= 1
            return 0.0
        return self._network.setup * self._rng.uniform(0.5, 1.0)

    def _arrive(self, caller: Caller, answer: asyncio.Future[Answer], back: float, latest: float) -> None:
        now = self._loop.time()
        refused = self.gateway.ask(caller, now)
        at = back + (self._worked(now) if refused is None else now)
        result = self._lose(refused)
        if result is Failure.TIMED_OUT or at > latest:
            at, result = max(now, latest), Failure.TIMED_OUT
        self._loop.call_at(at, self._answer, answer, result)

    def _worked(self, now: float) -> float:
        """When the service has done the work of a request that arrives now."""
        if self._network.at_once is None:
            return now + self._network.work
        if len(self._workers) < self._network.at_once:
            heappush(self._workers, now + self._network.work)
            return now + self._network.work
        done = max(now, self._workers[0]) + self._network.work
        heapreplace(self._workers, done)
        return done

    def _lose(self, answer: Answer) -> Answer:
        network = self._network
        if network.lost and self._rng.random() < network.lost:
            return Failure.CLOSED
        return Failure.TIMED_OUT if network.hung and self._rng.random() < network.hung else answer

    def _answer(self, future: asyncio.Future[Answer], answer: Answer) -> None:
        if not isinstance(answer, Failure):
            self._open += 1
        if not future.done():  # whoever asked may have gone
            future.set_result(answer)
