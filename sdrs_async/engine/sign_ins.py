"""Signing in to projects beside the sending of requests: it takes long, and holds no slot of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from sdrs_async.engine.lanes import Lane
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.users import User
from sdrs_async.models import Reply

__all__ = ["SignIns"]

Spawn = Callable[[Callable[[User], Coroutine[Any, Any, None]], User], None]

# Of one user at a time: IAM is throttled too.
_AT_ONCE = 4
# Seconds for which any sign-in is used, so that one that is over at once cannot turn into an endless row of them.
_LEAST = 1.0
# Seconds until it is looked again whether another one may begin.
_LATER = 0.05


class SignIns:
    """The sign-ins of one run. `timeout`: seconds for each; `spawn`: starts a task of the run, from one of its tasks;
    `signed`: called whenever one has ended; `may`: whether another one may begin.
    """

    def __init__(
        self,
        settlement: Settlement,
        timeout: float,
        spawn: Spawn,
        signed: Callable[[], None],
        may: Callable[[], bool],
    ) -> None:
        self._settlement = settlement
        self._timeout = timeout
        self._spawn = spawn
        self._signed = signed
        self._may = may

    def start(self, lane: Lane) -> None:
        """Sign in to the project of a lane that is due, as soon as its user may."""
        user = lane.user
        user.unsigned.append(lane)
        if user.signing < _AT_ONCE:
            user.signing += 1
            self._spawn(self._sign_in_all, user)

    async def _sign_in_all(self, user: User) -> None:
        try:
            while user.unsigned:
                if not self._may():
                    await anyio.sleep(_LATER)
                elif user.sign_ins.until > anyio.current_time():
                    await anyio.sleep_until(user.sign_ins.until)  # and look again: it may be longer by then
                else:
                    await self._sign_in(user.unsigned.popleft())
        finally:
            user.signing -= 1

    async def _sign_in(self, lane: Lane) -> None:
        fleet, sign_in = self._settlement.fleet, lane.user.sign_in
        loop = asyncio.get_running_loop()
        try:
            if sign_in is not None and lane.has_waiting():  # what waited may have been given up meanwhile
                self._note(lane, await sign_in(lane.project_id, self._timeout), loop.time())
        finally:
            fleet.signed(lane, loop.time())
        self._signed()

    def _note(self, lane: Lane, result: float | Reply, now: float) -> None:
        if not isinstance(result, Reply):
            lane.signed_at, lane.signed_until = now, now + max(result, _LEAST)
            lane.user.has_token = True
            lane.user.sign_ins.accept()
        elif lane.has_waiting():
            self._settlement.sign_in_failed(lane, result, now)
