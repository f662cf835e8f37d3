"""Progress on stderr: a bar on a terminal, plain lines elsewhere. It observes counters and knows no engine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sdrs_async.formats.wording import many

_REDRAW = 0.2
_WINDOW = 10.0
_STANDSTILL = 4.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """`scopes` of one `kind` wait after a 429, for `seconds` at most; `limit`: theirs, where it is known."""

    scopes: int = 0
    seconds: float = 0.0
    kind: str = "project"
    limit: str = ""

    def __str__(self) -> str:
        # Of projects there are many: that only one waits is news.
        alone = self.scopes == 1 and self.kind != "project"
        who = self.kind if alone else many(self.scopes, self.kind)
        limit = f": {self.limit}" if self.limit else ""
        return f"waiting {math.ceil(self.seconds)} s ({who} throttled{limit})"


@dataclass(frozen=True, slots=True)
class Spent:
    """A limit, in words, that is used up for `seconds`, without a 429; `projects`: of how many, if it is theirs."""

    seconds: float
    limit: str
    projects: int = 0

    def __str__(self) -> str:
        whose = f" ({many(self.projects, 'project')})" if self.projects else ""
        return f"waits {math.ceil(self.seconds)} s: {self.limit}{whose}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Targets by what became of them, out of `total`; `waiting`: who does, after a 429; `spent`: without one.

    `noun`: what they are; `growing`: more may be found yet; `least`: seconds that the rest takes under the limits.
    """

    total: int
    clean: int = 0
    failed: int = 0
    skipped: int = 0
    waiting: Waiting = Waiting()
    noun: str = "groups"
    growing: bool = False
    least: float = 0.0
    spent: Spent | None = None

    @property
    def settled(self) -> int:
        """Targets that need no more work."""
        return self.clean + self.failed + self.skipped

    @property
    def head(self) -> str:
        """How far it is."""
        return f"{self.settled:,} of {self.total:,} {self.noun}{' found so far' * self.growing}"

    def facts(self, rate: float, elapsed: float, *, steady: bool = True) -> list[str]:
        """What became of them, how fast, and how long it takes; `steady`: the rate says something of that."""
        counts = [f"{self.clean:,} clean", f"{self.failed:,} failed"]
        if self.skipped:
            counts.append(f"{self.skipped:,} skipped")
        parts = [", ".join(counts), f"{rate:.1f}/s", f"{_clock(int(elapsed))} elapsed"]
        left = self.total - self.settled
        # The last ten seconds say nothing of a window that is used up for minutes, nor of one that has just opened.
        by_rate = left / rate if rate and (steady or not self.least) else 0.0
        # What waits for a limit is not done before that lets it through.
        wait = max(self.waiting.seconds, 0.0 if self.spent is None else self.spent.seconds)
        seconds = max(round(max(by_rate, self.least)), math.ceil(wait))
        if left and (rate or seconds) and not self.growing:
            parts.append(f"{_clock(seconds)} left")
        return parts


@dataclass(frozen=True, slots=True)
class Found:
    """What has been found by listing so far; `waiting` and `spent` as in `Snapshot`."""

    projects: int
    groups: int
    waiting: Waiting = Waiting()
    spent: Spent | None = None

    @property
    def settled(self) -> int:
        """What the pace is measured by."""
        return self.groups

    @property
    def head(self) -> str:
        """How far it is."""
        return f"{many(self.groups, 'group')} in {many(self.projects, 'project')} found so far"

    def facts(self, rate: float, elapsed: float, *, steady: bool = True) -> list[str]:
        """How fast, and for how long."""
        return [f"{rate:.1f}/s", f"{_clock(int(elapsed))} elapsed"]


class Pace:
    """Targets settled per second over the last ten seconds, from the snapshots it is shown."""

    def __init__(self, now: float) -> None:
        self.started = now
        self._points: deque[tuple[float, int]] = deque([(now, 0)])

    def rate(self, now: float, settled: int) -> float:
        """The rate with one more point; times are seconds that only go forward."""
        self._points.append((now, settled))
        while len(self._points) > 2 and self._points[1][0] <= now - _WINDOW:
            self._points.popleft()
        then, before = self._points[0]
        return (settled - before) / (now - then) if now > then else 0.0

    @property
    def steady(self) -> bool:
        """Whether it never stood still for seconds in the time that the rate is of."""
        since, before = self._points[0]
        for now, settled in self._points:
            if settled != before:
                since, before = now, settled
            elif now - since >= _STANDSTILL:
                return False
        return True


def describe(moment: Snapshot | Found, elapsed: float, rate: float, *, steady: bool = True) -> str:
    """The facts of a moment in one line; `elapsed` in seconds, `rate` in targets per second, `steady` as of `Pace`."""
    parts = moment.facts(rate, elapsed, steady=steady)
    if moment.spent is not None:
        parts.append(str(moment.spent))
    if moment.waiting.scopes:
        parts.append(str(moment.waiting))
    return "; ".join(parts)


def _described(moment: Snapshot | Found, pace: Pace) -> str:
    now = anyio.current_time()
    rate = pace.rate(now, moment.settled)
    return describe(moment, now - pace.started, rate, steady=pace.steady)


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


async def show_lines(read: Callable[[], Snapshot | Found], write: Callable[[str], None], interval: float) -> None:
    """Write a line every `interval` seconds, the first after one interval, until cancelled."""
    pace = Pace(anyio.current_time())
    while True:
        await anyio.sleep(interval)
        moment = read()
        write(f"{moment.head}: {_described(moment, pace)}")


async def show_bar(read: Callable[[], Snapshot | Found], console: Console) -> None:
    """Keep a bar on the terminal up to date until cancelled; its last state stays on the screen."""
    pace = Pace(anyio.current_time())

    def draw() -> RenderableType:
        moment = read()
        return _bar(moment, _described(moment, pace))

    try:
        # What others write to stderr goes above the bar; stdout is not this console's, and is left alone.
        with Live(draw(), console=console, auto_refresh=False, redirect_stdout=False) as live:
            try:
                while True:
                    await anyio.sleep(_REDRAW)
                    live.update(draw(), refresh=True)
            finally:
                live.update(draw(), refresh=True)
    finally:
        console.line()


def _bar(moment: Snapshot | Found, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    if isinstance(moment, Found):
        line.add_row(Text("Finding"), ProgressBar(total=None, pulse=True), Text(moment.head))
    else:
        bar = ProgressBar(total=max(1, moment.total), completed=moment.settled)
        line.add_row(Text("Cleaning"), bar, Text(moment.head))
    return Group(line, Text(text))
