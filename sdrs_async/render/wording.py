"""A report's numbers in plain words, shared by the terminal summary and the HTML page. Text in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "duration",
    "exit_meaning",
    "facts",
    "moment",
    "printable",
    "status_meaning",
    "totals_sentence",
    "worst_first",
]

_STATUS = {
    "400": "bad request (with code SDRS.1013: the group is gone)",
    "401": "not signed in: the credential was refused",
    "403": "no permission in this project",
    "404": "not found: nothing was left to delete (with APIGW.0101: a wrong endpoint)",
    "405": "method not allowed",
    "406": "not acceptable",
    "407": "a proxy wants to be signed in to",
    "408": "the service waited too long for the request",
    "409": "conflict: the group is busy",
    "429": "too many requests: throttled",
    "500": "fault inside the service",
    "501": "not supported by the service",
    "502": "the gateway got no proper answer from the service",
    "503": "the service is not available",
    "504": "the gateway waited too long for the service",
    "none": "no answer: refused, reset, timed out, or never sent",
}
_STATUS_CLASS = {"2": "deleted", "3": "redirect, not followed", "4": "refused", "5": "fault of the service"}
_EXIT = {
    0: "every group is clean",
    1: "not every group is clean",
    2: "stopped by an error",
    3: "no account could sign in",
    5: "some groups failed, all for reasons that may pass: run the same again",
    129: "hung up before the end",
    130: "interrupted before the end",
    143: "terminated before the end",
}
_PACE = {
    "project rate": "the rate per project (--project-rate) sets the pace",
    "user rate": "the rate per user (--user-rate) sets the pace",
    "endpoint rate": "the rate of the endpoint (--endpoint-rate) sets the pace",
    "project concurrency": "the requests at a time per project (--project-concurrency) set the pace",
    "concurrency": "the requests at a time in all (--concurrency) set the pace",
    "latency": "no limit bounds it, only the time of an answer",
}


def printable(text: str) -> str:
    """The text on one line without what could steer a terminal or turn the reading direction; shown as `?` instead."""
    return "".join(char if char.isprintable() else "?" for char in text)


def status_meaning(key: str) -> str:
    """What a key of `status_codes` means."""
    return _STATUS.get(key) or _STATUS_CLASS.get(key[:1], "not a known status")


def exit_meaning(code: int, document: Mapping[str, Any]) -> str:
    """What an exit code says about the run."""
    if code == 0 and not document["targets"]["planned"]:
        return "nothing was selected, so nothing was done"
    if code == 2 and document["error"] is None:
        return "an output could not be written"
    return _EXIT.get(code, f"ended by signal {code - 128}")


def duration(seconds: float) -> str:
    """A time as one reads it: `0.25 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(rfc3339: str) -> str:
    """A time of the report (always UTC), to the second."""
    return f"{rfc3339[:10]} {rfc3339[11:19]} UTC"


def totals_sentence(document: Mapping[str, Any]) -> str:
    """What became of the groups, in one sentence; groups of zero are left out."""
    targets, projects = document["targets"], len(document["projects"])
    words = {"done": "deleted", "gone": "already gone"}
    groups = ("done", "gone", "failed", "skipped", "unsettled")
    parts = [f"{targets[group]:,} {words.get(group, group)}" for group in groups if targets[group] or group == "done"]
    doubles = f" ({_many(targets['duplicates'], 'duplicate')} left out)" if targets["duplicates"] else ""
    return f"{_many(targets['planned'], 'group')} in {_many(projects, 'project')}: {', '.join(parts)}{doubles}"


def facts(document: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a run by their names; of its speed only where something was answered."""
    speed = {"Speed": _speed_sentence(document)} if document["speed"]["bottleneck"] is not None else {}
    return {
        "Requests": _requests_sentence(document["requests"]),
        "Latency": _latency_sentence(document),
        **speed,
    }


def _requests_sentence(requests: Mapping[str, int]) -> str:
    return f"{requests['sent']:,} sent, {requests['retries']:,} of them repeats; {requests['throttled']:,} throttled"


def _speed_sentence(document: Mapping[str, Any]) -> str:
    """How long it took beside what the limits permit, and what sets the pace; of several runs only the first."""
    speed, seconds = document["speed"], duration(document["duration_s"])
    if len(document["runs"]) > 1:
        return f"{seconds} from the first start to the last end"
    share = "" if speed["efficiency"] is None else f" (efficiency {speed['efficiency']:.0%})"
    pace = _PACE.get(speed["bottleneck"], printable(speed["bottleneck"]))
    return f"took {seconds}; these limits permit no less than {duration(speed['floor_s'])}{share}: {pace}"


def _latency_sentence(document: Mapping[str, Any]) -> str:
    p50, p90, p99, longest = (document["latency_ms"][name] for name in ("p50", "p90", "p99", "max"))
    if p50 is None:
        return "not known" if set(document["status_codes"]) - {"none"} else "no answer came"
    return f"half within {p50:,.1f} ms, 90% within {p90:,.1f} ms, 99% within {p99:,.1f} ms, longest {longest:,.1f} ms"


def worst_first(projects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The projects by what is not clean in them: failed ones before skipped and unsettled ones, then by id."""

    def badness(project: dict[str, Any]) -> tuple[int, int, str]:
        targets = project["targets"]
        return -targets["failed"], -targets["skipped"] - targets["unsettled"], project["project_id"]

    return sorted(projects, key=badness)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
