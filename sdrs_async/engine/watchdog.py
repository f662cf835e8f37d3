"""Does anything move that could? A run that hangs is a defect, and says so instead."""

from __future__ import annotations

import math

import anyio

from sdrs_async.engine.course import Course
from sdrs_async.engine.loop import Workers
from sdrs_async.errors import SdrsError

# Seconds between two looks at whether anything moves, and how many in a row without that are a defect: 30 s in which
# the event loop ran, however long its process was stopped meanwhile.
_LOOK, _LOOKS = 3.0, 10


async def watch(course: Course, workers: Workers) -> None:
    """Raise `SdrsError` when for 30 s nothing has moved that could: that is a defect, and no reason to hang."""
    looks, before = 0, (-1, -1)
    while looks < _LOOKS:
        await anyio.sleep(_LOOK)
        now_at = (workers.taken, workers.settlement.open)
        looks = looks + 1 if now_at == before and _what_is_stuck(course, workers) else 0
        before = now_at
    raise SdrsError(
        f"defect: for {_LOOK * _LOOKS:.0f} s {_what_is_stuck(course, workers)}, and nothing has moved "
        f"({workers.settlement.open:,} not settled, {len(workers.given)} on the wire); please report this"
    )


def _what_is_stuck(course: Course, workers: Workers) -> str | None:
    """What could move, or waits for nothing that will ever come; `None` where all is as it should be."""
    if course.stopped:
        return None if course.is_waiting() else "a stop has not been carried out"
    if course.paused or course.is_abandoned():
        return None
    if workers.is_done():
        return "all targets have been settled"
    fleet, still_open = workers.settlement.fleet, workers.settlement.open
    lane = fleet.startable(course.now()) if workers.has_room() else None
    if lane is not None:
        return f"a target of project {lane.project_id} of {lane.user.called} might have been sent"
    signing = any(user.sign_ins.under_way for user in fleet.users)
    if still_open and not (workers.given or signing) and fleet.earliest() == math.inf:
        return f"{still_open:,} targets have waited for nothing"
    return None
