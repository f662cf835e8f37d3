"""How much of a limit was used, from the times at which a server let requests in."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from sdrs_async import Rate

__all__ = ["most_in_window", "rate_of", "share_of", "steady_of"]


def share_of(admitted: Iterable[list[float]], rate: Rate) -> float:
    """What was let in from the end of each project's first window to the start of its last, over what the rate gives.

    It reads a little high where the requests of a window go out in less than its time, as paced ones do: both cuts lie
    at the end of a pause, or shortly before it, so that one pause less is in it than windows.
    """
    used = possible = 0.0
    for times in admitted:
        begin, end = times[0] + rate.per, times[-1] - rate.per
        if begin < end:
            used += bisect_left(times, end) - bisect_left(times, begin)
            possible += (end - begin) * rate.count / rate.per
    return used / possible


def steady_of(admitted: Iterable[list[float]], rate: Rate) -> float:
    """The same, and where it is cut does not matter: what it would be if the run went on for ever.

    That is the mean over all cuts within the first and the last window of that time. A request in the first of them
    counts by the part of it that lies before, in the last by the part that lies behind.
    """
    used = possible = 0.0
    for times in admitted:
        begin, end = times[0] + rate.per, times[-1] - rate.per
        if end - begin > 2 * rate.per:
            used += sum(max(0.0, min(1.0, (at - begin) / rate.per, (end - at) / rate.per)) for at in times)
            possible += (end - begin - rate.per) * rate.count / rate.per
    return used / possible


def most_in_window(times: list[float], per: float) -> int:
    """The largest number in any window of `per` seconds."""
    window: deque[float] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - per:
            window.popleft()
        most = max(most, len(window))
    return most


def rate_of(text: str) -> Rate:
    """A rate that there is."""
    rate = Rate.parse(text)
    assert rate is not None
    return rate
