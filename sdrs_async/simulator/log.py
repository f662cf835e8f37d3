"""The request log: what arrived, when, and what became of it; and what can be counted in it."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sdrs_async.simulator.routes import SDRS_ROUTES

_GROUPINGS = ("project_id", "server_group_id", "user", "route", "endpoint")


@dataclass(slots=True)
class Entry:
    """One request. What has a default is not known before it is judged or answered.

    `at`: monotonic seconds at its arrival; `status`: `None` while it has no answer, and for ever if it never gets one;
    `fault`: the kind of the fault it met; `user`: whose credential it carried, `None` if nobody's; `path` and `query`:
    as sent, undecoded; `project_id`: of a sign-in the project that it is for. `credential`: which one it carried, good
    or not: the number of a token in the order of issue, as in `token 17`, or the id of an access key; `answered_at`:
    monotonic seconds when its answer was given out.
    """

    at: float
    method: str
    path: str
    query: str
    route: str
    project_id: str | None
    server_group_id: str | None
    request_id: str
    status: int | None = None
    fault: str | None = None
    user: str | None = None
    credential: str | None = None
    answered_at: float | None = None


def most_in_window(entries: Iterable[Entry], per: float, route: str | None = None, by: str = "project_id") -> int:
    """The most arrivals in any window of `per` seconds, answered or not; two arrivals `per` apart do not share one.

    Of one route or, with `None`, of all SDRS routes; counted apart for each project, group, user or route, or over the
    whole endpoint, as `by` says. `entries` in order of arrival. `ValueError` for another `by`, or no time at all.
    """
    if not per > 0:
        raise ValueError(f"a window is longer than 0 seconds, not {per}")
    if by not in _GROUPINGS:
        raise ValueError(f"cannot count by {by!r}: use {', '.join(_GROUPINGS)}")
    routes = SDRS_ROUTES if route is None else {route}
    windows: dict[str | None, deque[float]] = {}
    most = 0
    for entry in entries:
        key = "" if by == "endpoint" else getattr(entry, by)
        if entry.route not in routes or key is None:
            continue
        window = windows.setdefault(key, deque())
        window.append(entry.at)
        while window[0] <= entry.at - per:
            window.popleft()
        most = max(most, len(window))
    return most


def summary(entries: list[Entry], per: float, route: str | None = None, by: str = "project_id") -> dict[str, Any]:
    """Counts of a log, ready for JSON; the status of what never got an answer is spelled `none`."""
    return {
        "requests": len(entries),
        "by_status": Counter("none" if entry.status is None else str(entry.status) for entry in entries),
        "by_route": Counter(entry.route for entry in entries),
        "by_fault": Counter(entry.fault for entry in entries if entry.fault),
        "first_at": entries[0].at if entries else None,
        "last_at": entries[-1].at if entries else None,
        "most_in_window": most_in_window(entries, per, route, by),
    }


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """The log as JSON Lines, one string with its newline for each entry."""
    return (f"{json.dumps(asdict(entry))}\n" for entry in entries)
