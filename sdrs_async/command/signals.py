"""The signals that end a command early: the first one gently, the second at once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio

from sdrs_async.command.streams import is_ignored, say
from sdrs_async.errors import single_error

T = TypeVar("T")

_ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


@asynccontextmanager
async def interrupts() -> AsyncIterator[Interrupts]:
    """While it lasts, signals end nothing by themselves. Errors leave as they are, in no group."""
    told = Interrupts()
    with received(*told.numbers) as signals, single_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(told.listen, signals)
            yield told
            tasks.cancel_scope.cancel()


@contextmanager
def received(*numbers: signal.Signals) -> Iterator[AsyncIterator[signal.Signals]]:
    """The signals as they come, but for those that the process was started to ignore.

    Afterwards SIGINT does what it did before; a loop alone would forget what that was.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        with anyio.open_signal_receiver(*(number for number in numbers if not is_ignored(number))) as signals:
            yield signals
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupts:
    """Tells what is under way that a signal came. `first`: the first that came; `numbers`: all that it listens for."""

    numbers = tuple(_ENDINGS)

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._first_told: Callable[[], None] | None = None
        self._again_told: Callable[[], None] | None = None

    async def listen(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Pass the signals on."""
        async for number in signals:
            tell = self._first_told if self.first is None else self._again_told
            self.first = self.first or number
            if tell is not None:
                tell()

    @contextmanager
    def during(self, gently: Callable[[], None], at_once: Callable[[], None]) -> Iterator[None]:
        """While the block lasts, the first signal calls the one, each later one the other; one that came before too."""
        self._first_told, self._again_told = gently, at_once
        if self.first is not None:
            gently()
        try:
            yield
        finally:
            self._first_told = self._again_told = None

    async def unless(self, work: Awaitable[T]) -> T | None:
        """What comes of work that changes nothing; `None` after a signal, which ends it at once."""

        def abandon() -> None:
            say(self.word)
            scope.cancel()

        with anyio.CancelScope() as scope, self.during(abandon, lambda: None):
            return await work
        return None

    @property
    def word(self) -> str:
        """What the first signal has done."""
        return _ENDINGS[self.first] if self.first is not None else ""

    @property
    def again(self) -> str:
        """What another one will do."""
        return "press Ctrl-C again to end at once" if self.first == signal.SIGINT else "a second signal ends at once"
