"""From what users hand in to checked targets, read lazily: iterables, async iterables, a mapping per project."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import anyio
import anyio.lowlevel

from sdrs_async.cloud.calls import check_id, check_target
from sdrs_async.engine.course import stray
from sdrs_async.engine.users import Endpoint, User
from sdrs_async.errors import ConfigError, check, is_whole
from sdrs_async.models import ProjectLevel, Target

Items = Iterable[Any] | AsyncIterable[Any]
Targets = Items | Mapping[str, Items]

READ_AHEAD = 10_000
"""How many targets of a flat iterable are held at most, so that one slow project keeps no other from its groups."""
DUPLICATE_WINDOW = 65_536
"""How many of the last targets are remembered, to send each once."""

_PER_PROJECT = 128
_READS_PER_TURN = 256
_CLOSING = 3.0


class Budget:
    """How many targets of one source may be held at a time; its only reader waits for room.

    It is woken when a fiftieth is free, not for every target: waking costs as much as a tenth of a request.
    """

    __slots__ = ("_enough", "_room", "held", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._enough = size - max(1, size // 50)
        self.held = 0
        self._room: asyncio.Event | None = None

    async def take(self) -> None:
        """One more target is held, as soon as there is room."""
        if self.held >= self.size:
            self._room = asyncio.Event()
            await self._room.wait()
            self._room = None
        self.held += 1

    def release(self) -> None:
        """One target is settled."""
        self.held -= 1
        if self._room is not None and self.held <= self._enough:
            self._room.set()


class Intake:
    """Where all sources of a run come in: checks each item, drops and counts duplicates, can be paused.

    A duplicate is a target seen within the last `DUPLICATE_WINDOW` targets, at the same endpoint: what two accounts
    reach there is one and the same, and the same ids at another endpoint are others. `reading`: more targets may come;
    `paused`: until this is set; `failed`: told what a reader has raised.
    """

    def __init__(
        self, accept: Callable[[Target | ProjectLevel, Source], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.accept = accept
        self.reading = True
        self.duplicates = 0
        self._failed = failed
        self._scope = anyio.CancelScope()
        self._seen: dict[Endpoint, set[Target | ProjectLevel]] = {}
        self._last: deque[tuple[Target | ProjectLevel, set[Target | ProjectLevel]]] = deque()
        self.paused: asyncio.Event | None = None

    async def read(self, readers: Iterable[Reader]) -> None:
        """Let all of them read at the same time, until they have ended or `close` is called."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    for reader in readers:
                        tasks.start_soon(self._read, reader)
        finally:
            self.reading = False

    async def _read(self, reader: Reader) -> None:
        try:
            await reader.read(self)
        except asyncio.CancelledError as cancelled:
            self._failed(stray(cancelled, "the iterator of the targets"))
        except BaseException as error:  # the caller's own iterator may raise anything; raised when the run ends
            self._failed(error)

    def close(self) -> None:
        """Read nothing more."""
        self._scope.cancel()

    def pause(self) -> None:
        """Let the readers wait before their next target, until `resume`."""
        self.paused = self.paused or asyncio.Event()

    def resume(self) -> None:
        """Let the readers go on."""
        if self.paused is not None:
            self.paused.set()
            self.paused = None

    async def add(self, item: object, source: Source) -> None:
        """Hand the target of an item to `accept` as soon as it may be held. Raises `ConfigError` for a bad item."""
        given = item if isinstance(item, Target) and source.project_id is None else _target(item, source.project_id)
        target = check_target(given)
        if self._is_duplicate(target, source.user.endpoint):
            self.duplicates += 1
            return
        await source.budget.take()
        while self.paused is not None:
            await self.paused.wait()
        self.accept(target, source)

    def _is_duplicate(self, target: Target | ProjectLevel, endpoint: Endpoint) -> bool:
        seen = self._seen.get(endpoint)
        if seen is None:
            seen = self._seen[endpoint] = set()
        elif target in seen:
            return True
        seen.add(target)
        self._last.append((target, seen))
        if len(self._last) > DUPLICATE_WINDOW:
            oldest, others = self._last.popleft()
            others.discard(oldest)
        return False


def _target(item: object, project_id: str | None) -> Target | ProjectLevel:
    if isinstance(item, ProjectLevel) and project_id in (None, item.project_id):
        return item
    if project_id is not None:
        # What is not a string is refused by the check of the id, which names it.
        return Target(project_id, item)  # type: ignore[arg-type]
    if isinstance(item, tuple) and len(item) == 2:
        return Target(*item)
    raise ConfigError(f"a target is a Target or a pair (project_id, server_group_id), not {item!r:.80}")


class Reader(Protocol):
    """Reads targets from somewhere and gives them to the intake."""

    async def read(self, intake: Intake) -> None:
        """Give each item to the intake. Raises `ConfigError` at a bad one."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Items of one user to read lazily, at most `budget.size` of them held; group ids where `project_id` is given."""

    items: Items
    budget: Budget
    user: User
    project_id: str | None = None

    async def read(self, intake: Intake) -> None:
        """Give each item to the intake. Raises `ConfigError` with the number of a bad one, and what the items raise."""
        number = 0
        async with _closing(self.items) as items:
            if isinstance(items, AsyncIterator):
                async for item in items:
                    number += 1
                    await self._give(item, number, intake)
            else:
                for item in items:
                    number += 1
                    await self._give(item, number, intake)

    async def _give(self, item: object, number: int, intake: Intake) -> None:
        try:
            await intake.add(item, self)
        except ConfigError as error:
            place = f" of project {self.project_id}" if self.project_id is not None else ""
            raise ConfigError(f"target number {number}{place}: {error}") from error
        if number % _READS_PER_TURN == 0:  # the items need not suspend by themselves
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def _closing(items: Items) -> AsyncIterator[Iterator[Any] | AsyncIterator[Any]]:
    """Close a generator at the end, whatever ends the reading: a loop over it alone leaves that to chance."""
    iterator = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
    try:
        yield iterator
    finally:
        if isinstance(iterator, AsyncGenerator):
            with anyio.move_on_after(_CLOSING, shield=True):
                await iterator.aclose()
        elif isinstance(iterator, Generator):
            iterator.close()


def sources(targets: Targets, read_ahead: int, user: User) -> list[Source]:
    """One source for a flat iterable, one per project for a mapping. Raises `ConfigError` for what is neither."""
    check(is_whole(read_ahead), "read_ahead", "a whole number of at least 1", read_ahead)
    if isinstance(targets, Mapping):
        size = share(read_ahead, len(targets))
        return [
            Source(_readable(groups), Budget(size), user, check_id("project_id", project))
            for project, groups in targets.items()
        ]
    return [Source(_readable(targets), Budget(read_ahead), user)]


def share(read_ahead: int, projects: int) -> int:
    """How many targets of each project may be held, where each is read by itself."""
    return min(read_ahead, max(_PER_PROJECT, read_ahead // max(1, projects)))


def _readable(items: object) -> Items:
    text = isinstance(items, str | bytes)  # a token in its place, perhaps
    is_readable = isinstance(items, Iterable | AsyncIterable) and not text
    check(is_readable, "targets", "an iterable, an async iterable or a mapping per project", items, secret=text)
    return cast(Items, items)
