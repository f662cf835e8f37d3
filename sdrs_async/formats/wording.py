"""A report's numbers in plain words, shared by the terminal summary and the HTML page. Text in, text out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from sdrs_async.cloud.verdicts import NO_SUCH_API, classify, gateway_number
from sdrs_async.models import Verdict
from sdrs_async.report.discovery import in_words
from sdrs_async.report.projects import GROUPS
from sdrs_async.report.remedies import ACCOUNT_REMEDY, listing_remedy

PROJECT_LEVEL = "project level: failed creations and deletions of groups themselves"
"""What a project-level deletion is called: it leaves alone the failed tasks inside the groups."""

_MAX_GAPS = 15
_STATUS = {
    "400": "bad request",
    "401": "not signed in: the credential was refused",
    "403": "no permission in this project",
    "404": "not found: nothing was left to delete",
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
# What an answer means whose error code, or body, says something else than its status.
_OTHERWISE: dict[str, str] = {
    Verdict.GONE: "the group is gone",
    Verdict.REJECTED: "not taken by the service",
    Verdict.UNAUTHORIZED: "the credential was refused",
    Verdict.FORBIDDEN: "no permission in this project",
    Verdict.CONFLICT: "the group is busy",
    Verdict.THROTTLED: "throttled",
    Verdict.TRANSIENT: "a fault that usually passes",
}
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_MAX_CODES = 3
_STATUS_CLASS = {"2": "deleted", "3": "redirect, not followed", "4": "refused", "5": "fault of the service"}
_EXIT = {
    0: "every {one} is clean",
    1: "not every {one} is clean",
    2: "stopped by an error",
    3: "no account could sign in",
    5: "some {several} failed, all for reasons that may pass: run the same again",
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
    "project rate (learned)": "the rate per project that the server showed sets the pace",
    "user rate (learned)": "the rate per user that the server showed sets the pace",
    "endpoint rate (learned)": "the rate of the endpoint that the server showed sets the pace",
    "latency": "no limit bounds it, only the time of an answer",
}


def printable(text: str) -> str:
    """The text on one line without what could steer a terminal or turn the reading direction; shown as `?` instead."""
    return "".join(char if char.isprintable() else "?" for char in text)


def status_meaning(key: str, document: Mapping[str, Any] | None = None) -> str:
    """What a key of `status_codes` means; in a document, with the error codes that came under it."""
    usual = _STATUS.get(key) or _STATUS_CLASS.get(key[:1], "not a known status")
    if document is None or key == "none":
        return usual
    if key == "404" and _suspected(document):
        usual += ", or the wrong endpoint"
    verdict = classify(int(key), None)
    rows = [row for row in document["answers"]["others"] if row["status_code"] == int(key)]
    has_body = key[0] == "2" and key != "204"
    others = [row for row in rows if row["verdict"] != verdict and (row["error_code"] or has_body)]
    codes = [row["error_code"] for row in rows if _CODE.fullmatch(row["error_code"] or "") and row not in others]
    parts = [(document["status_codes"][key] - sum(row["count"] for row in others), f"{usual}{_listed_codes(codes)}")]
    parts += [(row["count"], _otherwise(row)) for row in others[:_MAX_CODES]]
    if more := others[_MAX_CODES:]:
        parts.append((sum(row["count"] for row in more), "with other codes"))
    shown = [(count, text) for count, text in parts if count > 0]
    return "; ".join(f"{count:,} x {text}" if len(shown) > 1 else text for count, text in shown) or usual


def _listed_codes(codes: list[str]) -> str:
    more = ", ..." if len(codes) > _MAX_CODES else ""
    return f" ({', '.join(codes[:_MAX_CODES])}{more})" if codes else ""


def _otherwise(row: Mapping[str, Any]) -> str:
    code = row["error_code"]
    if code is None:
        return "no answer of the service, nothing deleted"
    is_wrong_host = gateway_number(code) in NO_SUCH_API
    means = "a wrong endpoint" if is_wrong_host else _OTHERWISE.get(row["verdict"], row["verdict"])
    return printable(f"{code}: {means}")


def exit_meaning(code: int, document: Mapping[str, Any]) -> str:
    """What an exit code says about the run."""
    if code == 0 and not document["targets"]["planned"]:
        return f"{_nothing(document['discovery'])}, so nothing was done"
    if code == 2 and document["error"] is None:
        return "an output could not be written"
    if code == 1 and document["error"] is not None:
        return _EXIT[2]
    level = document["project_level"]["planned"]
    one, several = ("group and project level", "groups or project levels") if level else ("group", "groups")
    if code == 1 and (gaps := _gaps(document)):
        return f"{_seen(document, one)} {gaps}"
    return _EXIT.get(code, f"ended by signal {code - 128}").format(one=one, several=several)


def _nothing(discovery: Mapping[str, Any]) -> str:
    left_out = left_out_reasons(discovery).total()
    if not discovery["projects"]:
        return f"{many(left_out, 'project')} left out, and no other selected" if left_out else "nothing was selected"
    return "no group was found" + (f" ({many(left_out, 'project')} left out)" if left_out else "")


def _gaps(document: Mapping[str, Any]) -> str:
    """What a run could not even see, beside what it did; empty where it saw all that was selected."""
    refused = {one["account"] for one in document["accounts"]["failed"]}
    failed = document["discovery"]["failed"]
    blind = {one["account"] for one in failed if one["project_id"] is None} - refused
    projects = sum(one["project_id"] is not None for one in failed)
    unlisted = [many(count, noun) for count, noun in ((projects, "project"), (len(blind), "account")) if count]
    were = "was" if projects + len(blind) == 1 else "were"
    gaps = [f"{' and '.join(unlisted)} {were} not (wholly) listed"] if unlisted else []
    if suspected := _suspected(document):
        gaps.append(f"{many(len(suspected), 'account')} got nothing but 404s: is this the endpoint?")
    if refused:
        gaps.append(f"{many(len(refused), 'account')} {'was' if len(refused) == 1 else 'were'} refused")
    return "; ".join(gaps)


def _suspected(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The causes that name an account of which it is not known whether its endpoint is the right one."""
    return [cause for cause in document["causes"] if cause["verdict"] == Verdict.GONE]


def _seen(document: Mapping[str, Any], one: str) -> str:
    targets = document["targets"]
    if targets["done"] + targets["gone"] < targets["planned"]:
        return f"not every {one} is clean;"
    known = targets["planned"] - sum(cause["count"] for cause in _suspected(document))
    return "what was seen is clean, but" if known else "nothing was cleaned:"


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
    """What became of the groups, and apart from them of the projects' own level; what is zero is left out."""
    targets, projects = document["targets"], document["projects"]
    groups = of_groups(document)
    doubles = f" ({many(targets['duplicates'], 'duplicate')} left out)" if targets["duplicates"] else ""
    sentence = f"{many(groups['planned'], 'group')} in {many(len(projects), 'project')}: {_became(groups)}{doubles}"
    if not document["project_level"]["planned"]:
        return sentence
    own = sum("project_level" in project for project in projects)
    return f"{sentence}; project level of {many(own, 'project')}: {_became(document['project_level'])}"


def _became(targets: Mapping[str, int]) -> str:
    words = {"done": "deleted", "gone": "already gone"}
    shown = (group for group in GROUPS if targets[group] or group == "done")
    return ", ".join(f"{targets[group]:,} {words.get(group, group)}" for group in shown)


def of_groups(part: Mapping[str, Any]) -> dict[str, int]:
    """The targets of a report, or of one project in it, without those of the project level."""
    level = part.get("project_level", {})
    return {name: part["targets"][name] - level.get(name, 0) for name in ("planned", *GROUPS)}


def facts(document: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a run by their names; of its speed only where something was answered."""
    speed = {"Speed": _speed_sentence(document)} if document["speed"]["bottleneck"] is not None else {}
    return {
        **_listed(document["discovery"]),
        "Requests": _requests_sentence(document["requests"]),
        "Latency": _latency_sentence(document),
        **speed,
    }


def _listed(discovery: Mapping[str, Any]) -> dict[str, str]:
    projects, groups, reasons = discovery["projects"], discovery["groups"], left_out_reasons(discovery)
    facts = {}
    if projects or groups or reasons:
        facts["Listed"] = f"{many(groups, 'group')} in {many(projects, 'project')}"
    if reasons:
        facts["Left out"] = f"{many(reasons.total(), 'project')}: {printable(in_words(reasons))}"
    return facts


def left_out_reasons(discovery: Mapping[str, Any]) -> Counter[str]:
    """How many projects of all accounts were left out, by the reason."""
    reasons: Counter[str] = Counter()
    for line in discovery["left_out"]:
        reasons[line["reason"]] += line["projects"]
    return reasons


def _requests_sentence(requests: Mapping[str, int]) -> str:
    refused = f", {requests['reads_throttled']:,} of them throttled" * bool(requests["reads_throttled"])
    reads = f"; {many(requests['reads'], 'read')} (lists, sign-in checks){refused}" if requests["reads"] else ""
    sent, retries, throttled = (requests[name] for name in ("sent", "retries", "throttled"))
    return f"{sent:,} sent, {retries:,} of them repeats; {throttled:,} throttled{reads}{_sign_ins(requests)}"


def _sign_ins(requests: Mapping[str, int]) -> str:
    if not requests["sign_ins"]:
        return ""
    outcomes = {"throttled by IAM": requests["sign_ins_throttled"], "refused": requests["sign_ins_refused"]}
    failed = "".join(f", {count:,} {what}" for what, count in outcomes.items() if count)
    return f"; {many(requests['sign_ins'], 'sign-in')}{failed}"


def _speed_sentence(document: Mapping[str, Any]) -> str:
    """How long it took beside what the limits permit, and what sets the pace; of several runs only the first."""
    speed, seconds = document["speed"], duration(document["duration_s"])
    if len(document["runs"]) > 1:
        return f"{seconds} from the first start to the last end"
    share = "" if speed["efficiency"] is None else f" (efficiency {speed['efficiency']:.0%})"
    least = duration(speed["floor_s"])
    return f"took {seconds}; these limits permit no less than {least}{share}: {pace(speed['bottleneck'])}"


def pace(bottleneck: str) -> str:
    """What sets the pace, and the flag for it."""
    return _PACE.get(bottleneck, printable(bottleneck))


def _latency_sentence(document: Mapping[str, Any]) -> str:
    p50, p90, p99, longest = (document["latency_ms"][name] for name in ("p50", "p90", "p99", "max"))
    if p50 is None and set(document["status_codes"]) - {"none"}:
        return "not known"
    if p50 is None:  # of reads there may have been many answers
        return "no deletion was answered" if document["requests"]["sent"] else "no deletion was sent"
    return f"half within {p50:,.1f} ms, 90% within {p90:,.1f} ms, 99% within {p99:,.1f} ms, longest {longest:,.1f} ms"


def worst_first(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The projects that have groups, with these alone for `targets`, by what is not clean in them.

    Failed ones come before skipped and unsettled ones; then the id decides, and the account.
    """

    def badness(project: dict[str, Any]) -> tuple[int, int, str, str]:
        targets, name = project["targets"], (project["project_id"], project["account"])
        return -targets["failed"], -targets["skipped"] - targets["unsettled"], *name

    projects = [{**project, "targets": of_groups(project)} for project in document["projects"]]
    return sorted((project for project in projects if project["targets"]["planned"]), key=badness)


def has_several_accounts(document: Mapping[str, Any]) -> bool:
    """Whether projects and failures have to name their account: one alone is no news."""
    return len({project["account"] for project in document["projects"]}) > 1


class Gap(NamedTuple):
    """Something that could not be used or seen, what to do about it, and to whom it happened; not escaped."""

    happened: str
    remedy: str
    names: list[str]


def gaps(document: Mapping[str, Any]) -> dict[str, tuple[list[Gap], str]]:
    """What could not be used or seen, by what it is called: the first 15 of each, and a word about the others."""
    return {"Refused accounts": _refused_accounts(document), "Not (wholly) listed": unlisted(document)}


def _refused_accounts(document: Mapping[str, Any]) -> tuple[list[Gap], str]:
    failed = document["accounts"]["failed"]
    remedy = f"{ACCOUNT_REMEDY} Its projects were skipped."
    found = [Gap(_refused(one), remedy, []) for one in failed[:_MAX_GAPS]]
    rest = len(failed) - len(found)
    return found, f"and {rest:,} more" if rest else ""


def without_owner(account: str, message: str) -> str:
    """A message of the account's sign-in without the cloud's name in front, where the account bears it already."""
    return message.removeprefix(f"cloud {account.removeprefix('cloud ')!r}: ")


def _refused(line: Mapping[str, Any]) -> str:
    message = without_owner(line["account"], line["message"])
    reason = f" ({message})" if message else ""
    return f"{_account(line)}: the credential was refused{reason}"


def unlisted(document: Mapping[str, Any]) -> tuple[list[Gap], str]:
    """What was not (wholly) listed: the first 15 by account and project, grouped; and a word about the others.

    Without accounts that were refused.
    """
    refused = {one["account"] for one in document["accounts"]["failed"]}
    failed = [one for one in document["discovery"]["failed"] if one["project_id"] or one["account"] not in refused]
    found: dict[tuple[str, str], Gap] = {}
    for line in failed[:_MAX_GAPS]:
        gap = Gap(_happened(line), _remedy(line), [])
        found.setdefault((gap.happened, gap.remedy), gap).names.append(_name(line))
    others = Counter(one["verdict"] for one in islice(failed, _MAX_GAPS, None))
    kinds = ", ".join(f"{others[verdict]:,} {verdict}" for verdict in sorted(others))
    return list(found.values()), f"and {others.total():,} more: {kinds}" if others else ""


def _happened(line: Mapping[str, Any]) -> str:
    status = line["status_code"]
    refusal = str(status) if status is not None and status >= 300 else None
    what = " ".join(part for part in (line["verdict"], line["error_code"] or refusal) if part)
    return f"{what}: {line['message']}" if line["message"] else what


def _remedy(line: Mapping[str, Any]) -> str:
    of_account = line["project_id"] is None
    answered = line["status_code"] is not None
    return listing_remedy(
        line["verdict"], line["error_code"], line["message"], of_account=of_account, answered=answered
    )


def _name(line: Mapping[str, Any]) -> str:
    if line["project_id"] is None:
        return _account(line)
    owner = f" of {_account(line)}" if line["account"] else ""
    return f"project {line['project_id']}{owner}"


def _account(line: Mapping[str, Any]) -> str:
    return f"account {line['account']}" if line["account"] else "the account"


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
