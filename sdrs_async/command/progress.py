"""Progress of a run on stderr: a bar on a terminal, plain lines elsewhere. It observes counters and knows no engine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Pace", "Snapshot", "describe", "show_bar", "show_lines"]

_REDRAW = 0.2
_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Targets by what became of them, out of `total`; `held` scopes wait after a 429, for `wait` seconds at most."""

    total: int
    clean: int = 0
    failed: int = 0
    skipped: int = 0
    held: int = 0
    wait: float = 0.0

    @property
    def settled(self) -> int:
        """Targets that need no more work."""
        return self.clean + self.failed + self.skipped


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


def describe(snapshot: Snapshot, elapsed: float, rate: float) -> str:
    """The facts of a moment in one line; `elapsed` in seconds, `rate` in targets per second."""
    counts = [f"{snapshot.clean:,} clean", f"{snapshot.failed:,} failed"]
    if snapshot.skipped:
        counts.append(f"{snapshot.skipped:,} skipped")
    left = snapshot.total - snapshot.settled
    parts = [", ".join(counts), f"{rate:.1f}/s", f"{_clock(int(elapsed))} elapsed"]
    if left and rate:
        parts.append(f"{_clock(round(left / rate))} left")
    if snapshot.held:
        projects = "project" if snapshot.held == 1 else "projects"
        parts.append(f"waiting {math.ceil(snapshot.wait)} s ({snapshot.held:,} {projects} throttled)")
    return "; ".join(parts)


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


async def show_lines(read: Callable[[], Snapshot], write: Callable[[str], None], interval: float) -> None:
    """Write a line every `interval` seconds, the first after one interval, until cancelled."""
    pace = Pace(anyio.current_time())
    while True:
        await anyio.sleep(interval)
        now, snapshot = anyio.current_time(), read()
        text = describe(snapshot, now - pace.started, pace.rate(now, snapshot.settled))
        write(f"{snapshot.settled:,} of {snapshot.total:,} groups: {text}")


async def show_bar(read: Callable[[], Snapshot], console: Console) -> None:
    """Keep a bar on the terminal up to date until cancelled; its last state stays on the screen."""
    from rich.live import Live

    pace = Pace(anyio.current_time())

    def draw() -> RenderableType:
        now, snapshot = anyio.current_time(), read()
        return _bar(snapshot, describe(snapshot, now - pace.started, pace.rate(now, snapshot.settled)))

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


def _bar(snapshot: Snapshot, text: str) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_row(
        Text("Cleaning"),
        ProgressBar(total=max(1, snapshot.total), completed=snapshot.settled),
        Text(f"{snapshot.settled:,} of {snapshot.total:,} groups"),
    )
    return Group(line, Text(text))
