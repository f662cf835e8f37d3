"""What a run logs at level INFO, to the logger `sdrs_async`: a line for each failure, sign-in and limit met.

Each record has the facts of its line as attributes too, for whoever writes records as JSON: `event`, `account`,
`project_id` and others. No message has a line break in it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from sdrs_async.cloud.answers import one_line, visible
from sdrs_async.errors import SdrsError
from sdrs_async.limits import Rate
from sdrs_async.models import Outcome, ProjectLevel, Reply

log = logging.getLogger("sdrs_async")


def begun(what: str, run_id: str, accounts: Mapping[str, str]) -> None:
    """A run, or what else it is called, begins; `accounts`: what they are called, and their endpoints."""
    where = ", ".join(f"{name} at {endpoint}" for name, endpoint in accounts.items())
    _info(f"{what} {run_id} begins: {where}", event="begun", run_id=run_id, accounts=list(accounts))


def ended(what: str, run_id: str, seconds: float, counts: Mapping[str, int], error: BaseException | None) -> None:
    """It has ended after so many seconds; `counts`: what became of the targets; `error`: what stopped it."""
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    # What others raise may say anything.
    why = "" if error is None else f"; stopped: {error if isinstance(error, SdrsError) else type(error).__name__}"
    _info(
        f"{what} {run_id} ended after {seconds:.1f} s: {told}{why}",
        **{"event": "ended", "run_id": run_id, "seconds": round(seconds, 3), **counts},
    )


def failed(outcome: Outcome, account: str) -> None:
    """A target has failed; `account`: what messages call its account."""
    if log.isEnabledFor(logging.INFO):
        target = outcome.target
        part = "project level" if isinstance(target, ProjectLevel) else f"group {visible(target.server_group_id)}"
        facts = _facts(outcome) | {"server_group_id": target.server_group_id, "attempts": outcome.attempts}
        line = f"failed: {_project(target.project_id, account)}, {part}: {_answer(outcome)}"
        _info(line, event="failed", account=account, project_id=target.project_id, **facts)


def unlisted(project_id: str | None, account: str, reply: Reply) -> None:
    """Something could not be listed, or not to its end: a project, or with `None` the projects themselves."""
    what = f"the projects of {account}" if project_id is None else _project(project_id, account)
    line = f"not (wholly) listed: {what}: {_answer(reply)}"
    _info(line, event="unlisted", account=account, project_id=project_id, **_facts(reply))


def signed_in(project_id: str, account: str, seconds: float) -> None:
    """A sign-in to a project went well, and is good for so many seconds."""
    good, lasts = (f"{seconds:,.0f} s", round(seconds, 3)) if seconds < math.inf else ("as long as it is used", None)
    line = f"signed in: {_project(project_id, account)}, good for {good}"
    _info(line, event="signed_in", account=account, project_id=project_id, seconds=lasts)


def sign_in_failed(project_id: str, account: str, reply: Reply) -> None:
    """A sign-in to a project went wrong; it may be tried again."""
    line = f"sign-in failed: {_project(project_id, account)}: {_answer(reply)}"
    _info(line, event="sign_in_failed", account=account, project_id=project_id, **_facts(reply))


def throttled(name: str, seconds: float, reply: Reply, limit: tuple[Rate, bool] | None = None) -> None:
    """A 429 keeps a scope of this name for so many seconds; `limit`: as it is known now, and whether it was told."""
    rate, told = (None, None) if limit is None else (str(limit[0]), limit[1])
    known = "" if limit is None else f"; limit {rate}, {'told by the server' if told else 'found by trying'}"
    wait = f"{seconds:.1f} s" if seconds > 0 else "for answers"
    line = f"throttled: {name} waits {wait} ({reply.message}){known}"
    facts = _facts(reply) | {"scope": reply.scope, "held": name, "seconds": round(max(seconds, 0.0), 3)}
    _info(line, event="throttled", rate=rate, told=told, **facts)


def stopped(name: str, reason: str, targets: int) -> None:
    """Nothing more is sent for a project or an account, of which so many targets waited."""
    line = f"stopped: {name}, {targets:,} left: {reason}"
    _info(line, event="stopped", stopped=name, targets=targets, reason=reason)


def _project(project_id: str, account: str) -> str:
    """An empty id is the account itself."""
    return f"project {visible(project_id)} of {account}" if project_id else account


def _answer(what: Outcome | Reply) -> str:
    """Verdict, status, code, request and message, as far as there are any."""
    words = " ".join(str(fact) for fact in (what.verdict, what.status_code, what.error_code) if fact is not None)
    request = f" (request {what.request_id})" if what.request_id else ""
    return f"{words}{request}{f': {what.message}' if what.message else ''}"


def _facts(what: Outcome | Reply) -> dict[str, Any]:
    """The same by their names; `message` is taken by the record's own."""
    names = ("status_code", "error_code", "request_id")
    return {"verdict": str(what.verdict), **{name: getattr(what, name) for name in names}, "reason": what.message}


def _info(line: str, **facts: Any) -> None:
    if log.isEnabledFor(logging.INFO):
        log.info("%s", one_line(line), extra=facts)
