"""What a report knows beside its targets: the project level, what was listed and what not, reads and accounts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sdrs_async.errors import ConfigError
from sdrs_async.models import Outcome, ProjectLevel, Target, Verdict
from sdrs_async.report import Ledger, Report, Unlisted, failure_line
from sdrs_async.report.discovery import in_words
from sdrs_async.report.projects import GROUPS
from sdrs_async.report.remedies import ACCOUNT_REMEDY, listing_remedy, remedy

FORBIDDEN = Unlisted("p2", "prod", Verdict.FORBIDDEN, 400, "SDRS.0004", "no permission")
INCOMPLETE = Unlisted("p1", "prod", Verdict.INCOMPLETE, 200, message="the same page came twice")
BLIND = Unlisted(None, "test", Verdict.UNREACHABLE, message="refused")
DONE = Outcome(Target("p1", "g1"), Verdict.DELETED, 204, attempts=1, latency=0.02)
BUSY = Outcome(Target("p1", "g2"), Verdict.CONFLICT, 409, "SDRS.1002", "busy", attempts=5, latency=0.02)
LEVEL_DONE = Outcome(ProjectLevel("p1"), Verdict.DELETED, 204, attempts=1, latency=0.02)
LEVEL_FAILED = Outcome(ProjectLevel("p1"), Verdict.REJECTED, 400, "SDRS.9999", "odd", "r1", 1, latency=0.02)


def _report(*outcomes: Outcome, run_id: str = "run", signed_in: bool = True) -> Ledger:
    report = Ledger(run_id=run_id, clock=lambda: 0.0)
    for outcome in outcomes:
        report.add(outcome)
    report.add_access(signed_in, False, {})
    return report


def _reread(report: Report) -> Report:
    return Report.from_dict(json.loads(json.dumps(report.to_dict())))


# ---- the project level


def _counts(**counts: int) -> dict[str, int]:
    return {"planned": sum(counts.values()), **dict.fromkeys(GROUPS, 0), **counts}


def test_the_project_level_is_a_target_of_its_project_and_counted_apart_too() -> None:
    """It is among the planned ones of its project, and the section of its own says how many of those it is."""
    report = _report(DONE, LEVEL_DONE, LEVEL_FAILED)
    report.add_unsettled("", "p1", 2, project_level=True)
    report.add_unsettled("", "p2", 3)
    for one in (report, _reread(report)):
        document = one.to_dict()
        assert document["targets"] == _counts(done=2, failed=1, unsettled=5) | {"duplicates": 0}
        assert document["project_level"] == _counts(done=1, failed=1, unsettled=2)
        first, second = document["projects"]
        assert first["targets"] == _counts(done=2, failed=1, unsettled=2)
        assert first["project_level"] == document["project_level"]
        assert "project_level" not in second


def test_a_line_says_which_level_it_is_of() -> None:
    """Lines of failures and results tell a group from the project's own level, which has no group id."""
    assert failure_line(LEVEL_FAILED) == {
        "account": "",
        "project_id": "p1",
        "server_group_id": None,
        "level": "project",
        "verdict": "rejected",
        "status_code": 400,
        "error_code": "SDRS.9999",
        "message": "odd",
        "request_id": "r1",
        "attempts": 1,
    }
    line = failure_line(BUSY)
    assert (line["server_group_id"], line["level"]) == ("g2", "group")


def test_the_project_level_comes_before_the_groups_of_its_project() -> None:
    """Failures are in order, those without a group id first, and read back they still are."""
    report = _report(BUSY, LEVEL_FAILED)
    for one in (report, _reread(report)):
        assert [line["server_group_id"] for line in one.to_dict()["failures"]] == [None, "g2"]


def test_a_group_id_that_is_missing_does_not_make_a_project_level() -> None:
    """A document whose failed group has lost its id is refused, with and without a word about the level."""
    document = _report(BUSY).to_dict()
    document["failures"][0]["server_group_id"] = None
    with pytest.raises(ConfigError, match=r"report\.failures\[0\]\.level"):
        Report.from_dict(document)
    del document["failures"][0]["level"]
    with pytest.raises(ConfigError, match=r"report\.project_level: does not add up"):
        Report.from_dict(document)


# ---- what was listed, and what not


def test_what_was_listed_is_counted_and_what_was_not_is_named() -> None:
    """The section holds the counts, and one row for each project or account that is missing, in order."""
    report = _report()
    assert report.to_dict()["discovery"] == {"projects": 0, "groups": 0, "left_out": [], "failed": []}
    report.discovery.add_listed(999, projects=1)
    report.discovery.add_listed(501)
    for unlisted in (BLIND, FORBIDDEN, INCOMPLETE):
        report.discovery.add(unlisted)
    discovery = report.to_dict()["discovery"]
    assert (discovery["projects"], discovery["groups"]) == (1, 1500)
    assert [(line["account"], line["project_id"]) for line in discovery["failed"]] == [
        ("prod", "p1"),
        ("prod", "p2"),
        ("test", None),
    ]
    assert discovery["failed"][1] == {
        "account": "prod",
        "project_id": "p2",
        "verdict": "forbidden",
        "status_code": 400,
        "error_code": "SDRS.0004",
        "message": "no permission",
    }
    assert _reread(report).to_dict()["discovery"] == discovery


def test_a_project_is_one_row_however_many_of_its_lists_break() -> None:
    """Memory is bounded by projects, not by groups: the first reason in order stays, whatever came first."""
    reasons = [Unlisted("p", "", Verdict.INCOMPLETE, 200, message=f"group {number:04}") for number in range(2000)]
    for order in (reasons, reasons[::-1]):
        report = _report()
        for unlisted in order:
            report.discovery.add(unlisted)
        assert report.discovery.failed == [reasons[0]]


def test_merging_adds_up_what_was_listed() -> None:
    """Counts and reads add up; a project that two runs miss is one row, and an account that two refuse one reason."""
    reports = [_report(run_id=name) for name in "ab"]
    for number, (report, message) in enumerate(zip(reports, ("second", "first"), strict=True), 1):
        report.discovery.add_listed(10 * number, projects=number)
        report.discovery.add(Unlisted("p", "prod", Verdict.INCOMPLETE, 200, message=message))
        report.add_reads(5 * number, 0)
        report.add_access(False, False, {"test": message, f"only {number}": "x"})
    merged = reports[0].merge(reports[1]).to_dict()
    assert (merged["discovery"]["projects"], merged["discovery"]["groups"]) == (3, 30)
    assert [line["message"] for line in merged["discovery"]["failed"]] == ["first"]
    assert merged["requests"]["reads"] == 15
    assert merged["accounts"]["failed"] == [
        {"account": "only 1", "message": "x"},
        {"account": "only 2", "message": "x"},
        {"account": "test", "message": "first"},
    ]


def test_projects_that_are_left_out_are_counted_by_account_and_reason() -> None:
    """In order, added up where reports are merged, and read back as they were; without the key there were none."""
    reports = [_report(run_id=name) for name in "ab"]
    reports[0].discovery.add_left_out("prod", {"disabled": 2, "of region eu-nl": 5})
    reports[1].discovery.add_left_out("prod", {"disabled": 1})
    reports[1].discovery.add_left_out("lab", {"disabled": 3})
    merged = reports[0].merge(reports[1])
    for one in (merged, reports[1].merge(reports[0]), _reread(merged)):
        assert one.to_dict()["discovery"]["left_out"] == [
            {"account": "lab", "reason": "disabled", "projects": 3},
            {"account": "prod", "reason": "disabled", "projects": 3},
            {"account": "prod", "reason": "of region eu-nl", "projects": 5},
        ]
    assert merged.exit_code == 0
    document = _report().to_dict()
    del document["discovery"]["left_out"]
    assert Report.from_dict(document).to_dict()["discovery"]["left_out"] == []
    document["discovery"]["left_out"] = [{"account": "prod", "reason": "disabled", "projects": -1}]
    with pytest.raises(ConfigError, match=r"report\.discovery\.left_out\[0\]\.projects"):
        Report.from_dict(document)


def test_reasons_in_words_are_bounded() -> None:
    """The most frequent first; of very many the last are one sum."""
    assert in_words({"disabled": 1, "of region a": 2000}) == "of region a: 2,000; disabled: 1"
    words = in_words({f"of region {number:02}": 100 - number for number in range(20)})
    assert words.count(";") == 12
    assert words.endswith(f"of region 11: 89; for other reasons: {sum(100 - number for number in range(12, 20))}")


def test_the_row_of_the_contract_can_be_read() -> None:
    """A row without account and error code, as the contract has it, belongs to an account without a name."""
    row = {"project_id": "p", "verdict": "forbidden", "status_code": 403, "message": "no"}
    document = _report().to_dict() | {"discovery": {"projects": 1, "groups": 0, "failed": [row]}}
    assert Report.from_dict(document).discovery.failed == [Unlisted("p", "", "forbidden", 403, None, "no")]


# ---- exit codes


@pytest.mark.parametrize("unlisted", [FORBIDDEN, INCOMPLETE, BLIND])
@pytest.mark.parametrize("outcomes", [[], [DONE], [BUSY]], ids=["nothing", "clean", "worth retrying"])
def test_what_was_not_listed_is_a_1(unlisted: Unlisted, outcomes: list[Outcome]) -> None:
    """Nobody knows whether it is clean: 1, even if all that failed is worth another run."""
    report = _report(*outcomes)
    report.discovery.add(unlisted)
    assert report.exit_code == _reread(report).exit_code == 1
    report.finish(15)
    assert report.exit_code == 143


def test_an_account_that_is_refused_beside_another_is_a_1() -> None:
    """Where one account signed in, one that did not is a 1; where none did, it is a 3; an error is a 2 before that."""
    report = _report(DONE)
    report.add_access(False, False, {"prod": "wrong key"})
    assert report.exit_code == _reread(report).exit_code == 1
    report.fail("disk full")
    assert report.exit_code == 2
    report = _report(signed_in=False)
    report.add_access(False, False, {"prod": "wrong key"})
    report.discovery.add(BLIND)
    assert report.exit_code == _reread(report).exit_code == 3


# ---- what to do


@pytest.mark.parametrize(
    ("unlisted", "word"),
    [
        (FORBIDDEN, "SDRS Administrator"),
        (INCOMPLETE, "--targets"),
        (Unlisted("p", "", Verdict.GONE, 404), "check its id"),
        (Unlisted("p", "", Verdict.GONE, 404), "--endpoint"),
        (Unlisted("p", "", Verdict.REJECTED, message="left out: disabled"), "was left alone"),
        (Unlisted("p", "", Verdict.REJECTED, 200, message="a web page instead of an answer"), "check --endpoint"),
        (Unlisted(None, "", Verdict.REJECTED, 200, message="a web page instead of an answer"), "check --iam-endpoint"),
        (Unlisted(None, "", Verdict.REJECTED, 404, "APIG.0101"), "check --iam-endpoint"),
        (Unlisted(None, "", Verdict.REJECTED, message="left out: its id is none"), "by their ids"),
        (Unlisted(None, "", Verdict.UNREACHABLE, message="certificate verify failed"), "host in --iam-endpoint"),
        (Unlisted("p", "", Verdict.UNAUTHORIZED, 401, "APIGW.0301"), "clock"),
        (Unlisted("p", "", Verdict.UNAUTHORIZED), "clouds.yaml"),
        (Unlisted("p", "", Verdict.TRANSIENT, 503), "later"),
        (Unlisted("p", "", Verdict.REJECTED, 404, "APIG.0101"), "--endpoint must be"),
        (Unlisted("p", "", Verdict.UNREACHABLE, message="certificate verify failed"), "--ca-file"),
        (Unlisted(None, "", Verdict.FORBIDDEN, 403), "--project"),
        (Unlisted(None, "", Verdict.GONE, 404), "--iam-endpoint"),
        (Unlisted(None, "", Verdict.REJECTED, 400), "--iam-endpoint"),
        (Unlisted(None, "", Verdict.UNREACHABLE), "--iam-endpoint"),
        (Unlisted(None, "", Verdict.THROTTLED, 429, "IAM.0012"), "IAM itself"),
        (Unlisted(None, "", Verdict.THROTTLED, 429), "IAM itself"),
        (Unlisted(None, "", Verdict.INCOMPLETE, 200), "--project"),
        (Unlisted(None, "", Verdict.TRANSIENT, 503), "later"),
    ],
)
def test_every_list_that_broke_says_what_to_do(unlisted: Unlisted, word: str) -> None:
    """The code decides before the verdict; a list of projects comes from IAM, so its remedy is another."""
    of_account = unlisted.project_id is None
    sentence = listing_remedy(unlisted.verdict, unlisted.error_code, unlisted.message, of_account=of_account)
    assert word in sentence
    assert sentence.endswith(".")


def test_a_project_that_nobody_asked_about_was_not_meant_for_sure() -> None:
    """What was rejected without an answer is a matter of `--project`; with one the service is to be asked."""
    sentence = listing_remedy(Verdict.REJECTED, None, "no project has this name", of_account=False, answered=False)
    assert "--project" in sentence
    assert sentence.endswith(".")
    assert "--endpoint" in listing_remedy(Verdict.REJECTED, None, "odd", of_account=False)
    assert "--iam-endpoint" in listing_remedy(Verdict.REJECTED, None, "odd", of_account=True, answered=False)


def test_a_refused_account_says_what_to_do() -> None:
    """The three ways in are named, and that a key locks."""
    for word in ("access key", "clock", "5 minutes", "token", "password"):
        assert word in ACCOUNT_REMEDY
    assert "lock" in remedy("unauthorized", "APIG.0301")


# ---- time


def test_the_time_of_a_run_can_begin_anew() -> None:
    """After a question that somebody thought about: the time begins now, what was listed stays."""
    now = 100.0
    report = Ledger(clock=lambda: now)
    report._watch.started_at = created = report.started_at - timedelta(hours=1)
    report.discovery.add_listed(7)
    now = 400.0
    report.restart()
    assert report.started_at > created + timedelta(minutes=59)
    now = 402.5
    report.finish()
    document: dict[str, Any] = report.to_dict()
    assert (document["duration_s"], document["discovery"]["groups"]) == (2.5, 7)
