"""Progress: the facts of a moment in words, and when they are shown."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable

import anyio
import pytest
from rich.console import Console

from sdrs_async.command.progress import Found, Pace, Snapshot, Spent, Waiting, describe, show_bar, show_lines
from tests.support.virtual_time import run_virtual


@pytest.mark.parametrize(
    ("snapshot", "elapsed", "rate", "expected"),
    [
        (Snapshot(0), 0.0, 0.0, "0 clean, 0 failed; 0.0/s; 0:00 elapsed"),
        (
            Snapshot(2000, clean=1200, failed=5),
            61.0,
            19.75,
            "1,200 clean, 5 failed; 19.8/s; 1:01 elapsed; 0:40 left",
        ),
        (Snapshot(10, clean=7, failed=1, skipped=2), 3.0, 3.3, "7 clean, 1 failed, 2 skipped; 3.3/s; 0:03 elapsed"),
        (
            Snapshot(10_000, clean=1, waiting=Waiting(3, 11.2)),
            3700.0,
            0.5,
            "1 clean, 0 failed; 0.5/s; 1:01:40 elapsed; 5:33:18 left; waiting 12 s (3 projects throttled)",
        ),
        (
            Snapshot(1, waiting=Waiting(1, 0.01)),
            1.0,
            0.0,
            "0 clean, 0 failed; 0.0/s; 0:01 elapsed; 0:01 left; waiting 1 s (1 project throttled)",
        ),
        (
            Snapshot(1000, clean=200, least=600.4, waiting=Waiting(1, 290.0, "user", "200/5min")),
            10.0,
            20.0,
            "200 clean, 0 failed; 20.0/s; 0:10 elapsed; 10:00 left; waiting 290 s (user throttled: 200/5min)",
        ),
        (Snapshot(10, clean=2, least=7.0), 9.0, 0.0, "2 clean, 0 failed; 0.0/s; 0:09 elapsed; 0:07 left"),
        (Snapshot(10, clean=2, least=7.0), 9.0, 1.0, "2 clean, 0 failed; 1.0/s; 0:09 elapsed; 0:08 left"),
        (Snapshot(10, clean=2, least=0.4), 9.0, 0.0, "2 clean, 0 failed; 0.0/s; 0:09 elapsed"),
        (Snapshot(10, clean=10, least=7.0), 9.0, 1.0, "10 clean, 0 failed; 1.0/s; 0:09 elapsed"),
        (Snapshot(10, clean=1, growing=True, least=9.0), 1.0, 1.0, "1 clean, 0 failed; 1.0/s; 0:01 elapsed"),
        (Snapshot(10, clean=1, growing=True), 1.0, 1.0, "1 clean, 0 failed; 1.0/s; 0:01 elapsed"),
        (
            Snapshot(10, clean=2, spent=Spent(19.2, "--user-rate 300/30s")),
            9.0,
            0.0,
            "2 clean, 0 failed; 0.0/s; 0:09 elapsed; 0:20 left; waits 20 s: --user-rate 300/30s",
        ),
        (
            Snapshot(150, clean=93, spent=Spent(28.7, "--user-rate 100/30s")),
            2.0,
            45.7,
            "93 clean, 0 failed; 45.7/s; 0:02 elapsed; 0:29 left; waits 29 s: --user-rate 100/30s",
        ),
        (
            Snapshot(150, clean=93, waiting=Waiting(1, 50.0, "user")),
            2.0,
            45.7,
            "93 clean, 0 failed; 45.7/s; 0:02 elapsed; 0:50 left; waiting 50 s (user throttled)",
        ),
        (
            Found(2, 10, Waiting(1, 2), Spent(9, "--project-rate 5/30s", 1)),
            3.0,
            3.3,
            "3.3/s; 0:03 elapsed; waits 9 s: --project-rate 5/30s (1 project); waiting 2 s (1 project throttled)",
        ),
        (Found(2, 10, Waiting(1, 2)), 3.0, 3.3, "3.3/s; 0:03 elapsed; waiting 2 s (1 project throttled)"),
    ],
)
def test_a_moment_in_words(snapshot: Snapshot | Found, elapsed: float, rate: float, expected: str) -> None:
    """Counts, rate, time so far, the time left by pace, limits or waits, whichever is most, and who waits."""
    assert describe(snapshot, elapsed, rate) == expected


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    """A run that was fast an hour ago and crawls now shows that it crawls."""
    pace = Pace(100.0)
    assert pace.rate(100.0, 0) == 0.0
    assert pace.rate(105.0, 500) == pytest.approx(100.0)
    for second in range(106, 200):
        rate = pace.rate(float(second), 500 + second - 105)
    assert rate == pytest.approx(1.0)


def _shown_for(seconds: float, show: Callable[[Callable[[], Snapshot]], Awaitable[None]]) -> int:
    """Show the progress of a run of one target per second for a while; how often the counters were read."""
    reads = 0

    async def main() -> None:
        def read() -> Snapshot:
            nonlocal reads
            reads += 1
            return Snapshot(100, clean=int(anyio.current_time()))

        with anyio.move_on_after(seconds):
            await show(read)

    run_virtual(main())
    return reads


def test_lines_come_at_an_interval() -> None:
    """Without a terminal: one line per interval, the first after one interval, and no more reads than lines."""
    lines: list[str] = []
    reads = _shown_for(12.5, lambda read: show_lines(read, lines.append, 5.0))
    assert [line.split(";")[0] for line in lines] == [
        "5 of 100 groups: 5 clean, 0 failed",
        "10 of 100 groups: 10 clean, 0 failed",
    ]
    assert reads == len(lines)


def test_the_bar_is_redrawn_a_few_times_per_second_and_ends_with_the_last_state() -> None:
    """On a terminal the counters are read at most ten times per second, and what stays is the state at the end."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    reads = _shown_for(20.5, lambda read: show_bar(read, console))
    assert 20 <= reads <= 205
    last = file.getvalue().rsplit("Cleaning", 1)[1]
    assert "20 of 100 groups" in last
    assert "20 clean, 0 failed; 1.0/s; 0:20 elapsed; 1:2" in last


def test_what_is_still_found_has_no_end_yet() -> None:
    """While more is found, the total is what is known so far, and the line says so."""
    assert Snapshot(4, clean=1, growing=True).head == "1 of 4 groups found so far"
    assert Snapshot(4, clean=1, noun="targets").head == "1 of 4 targets"
    assert Found(1, 2000).head == "2,000 groups in 1 project found so far"


def test_finding_has_a_bar_without_an_end() -> None:
    """While nothing is deleted yet, the bar shows what has been found."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)

    async def main() -> None:
        with anyio.move_on_after(1):
            await show_bar(lambda: Found(3, 12), console)

    run_virtual(main())
    assert "Finding" in file.getvalue()
    assert "12 groups in 3 projects found so far" in file.getvalue()


def test_a_long_line_under_the_bar_goes_on_in_the_next() -> None:
    """At 60 columns nothing of the facts is cut off."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, color_system=None)

    async def main() -> None:
        with anyio.move_on_after(1):
            await show_bar(lambda: Snapshot(10_000, clean=4_000, failed=3, waiting=Waiting(3, 900)), console)

    run_virtual(main())
    assert "(3 projects" in file.getvalue()
    assert "throttled)" in file.getvalue()


def test_after_a_standstill_the_time_left_is_what_the_limits_permit() -> None:
    """A window that opens after half a minute of nothing is not judged by the seconds before it."""
    seen = iter([Snapshot(240, clean=199, least=45)] * 9 + [Snapshot(240, clean=201, least=1)])
    lines: list[str] = []

    async def main() -> None:
        with anyio.move_on_after(52):
            await show_lines(lambda: next(seen), lines.append, 5.0)

    run_virtual(main())
    assert lines[-1].endswith("0.2/s; 0:50 elapsed; 0:01 left")


def test_a_slow_run_that_goes_on_is_judged_by_its_rate() -> None:
    """One group in three seconds is slow and steady: the time left is what it takes at that pace, not the least."""
    pace = Pace(0.0)
    rates = [pace.rate(float(second), second // 3) for second in range(1, 31)]
    assert pace.steady
    assert "0:25 left" in describe(Snapshot(20, clean=10, least=1), 30.0, rates[-1], steady=pace.steady)
