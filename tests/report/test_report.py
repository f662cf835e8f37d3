"""The report: its numbers, its JSON, its exit code, and merging."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.errors import ConfigError
from sdrs_async.limits import Learned, Limits, Rate
from sdrs_async.models import Outcome, ProjectLevel, Target, Verdict
from sdrs_async.pace.floor import Scopes
from sdrs_async.report import Ledger, Report, Unlisted, failure_line
from sdrs_async.report.projects import GROUPS
from sdrs_async.report.remedies import remedy

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ANSWERED = (Verdict.DELETED, Verdict.GONE)
UNSENT = (Verdict.SKIPPED, Verdict.UNSETTLED)
OF_LISTS = (Verdict.READ, Verdict.INCOMPLETE)
NO_READS = dict.fromkeys(("reads", "reads_throttled", "sign_ins", "sign_ins_throttled", "sign_ins_refused"), 0)
OF_TARGETS = [verdict for verdict in Verdict if verdict not in OF_LISTS]


class Clock:
    """Seconds that go on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _outcome(verdict: Verdict = Verdict.DELETED, project: str = "p1", group: str = "g1", **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"attempts": 1, "elapsed": 0.5, "latency": 0.02}
    if verdict in ANSWERED:
        defaults["status_code"] = 204 if verdict is Verdict.DELETED else 404
    if verdict in UNSENT:
        defaults = {}
    return Outcome(Target(project, group), verdict, **(defaults | fields))


def _report(*outcomes: Outcome, run_id: str = "run", **keywords: Any) -> Ledger:
    report = Ledger(run_id=run_id, **({"clock": Clock()} | keywords))
    report._watch.started_at = START
    for outcome in outcomes:
        report.add(outcome)
    return report


def _reread(report: Report) -> Report:
    return Report.from_dict(json.loads(json.dumps(report.to_dict())))


ACCOUNTS = st.sampled_from(NAMES := ["", "prod", "test", "ü\u202e\ud800"])
AT_A, AT_B = (Scopes(dict.fromkeys(NAMES, Limits()), dict.fromkeys(NAMES, url)) for url in ("https://a", "https://b"))


@st.composite
def _outcomes(draw: st.DrawFn) -> Outcome:
    verdict = draw(st.sampled_from(OF_TARGETS))
    project, group = draw(st.sampled_from(["p1", "p2", "p3"])), draw(st.sampled_from([None, *"abcdefgh"]))
    answered = verdict in ANSWERED or (verdict not in UNSENT and draw(st.booleans()))
    attempts = draw(st.integers(1 if answered else 0, 1 if verdict in UNSENT else 6))
    return Outcome(
        account=draw(ACCOUNTS),
        target=ProjectLevel(project) if group is None else Target(project, group),
        verdict=verdict,
        status_code=draw(st.sampled_from([204, 400, 404, 429, 503])) if answered else None,
        error_code=draw(st.sampled_from([None, "SDRS.1002", "APIGW.0308"])) if answered else None,
        message=draw(st.sampled_from(["", "one", "another", "certificate verify failed", "ü\u202e\ud800"])),
        request_id=draw(st.sampled_from([None, "r1", "r2"])),
        attempts=attempts,
        elapsed=draw(st.floats(0, 500)),
        latency=draw(st.floats(0, 100)) if answered else None,
        throttled=draw(st.integers(0, attempts)),
    )


TEXTS = st.sampled_from(["", "one", "ü\u202e\ud800"])
UNLISTED = st.builds(
    Unlisted,
    project_id=st.sampled_from([None, "p1", "p2"]),
    account=st.sampled_from(["", "prod", "test"]),
    verdict=st.sampled_from([Verdict.FORBIDDEN, Verdict.INCOMPLETE, Verdict.UNREACHABLE]),
    status_code=st.sampled_from([None, 200, 403]),
    error_code=st.sampled_from([None, "SDRS.0004"]),
    message=TEXTS,
)

LEARNED = st.builds(
    Learned,
    scope=st.sampled_from(["project", "user", "endpoint"]),
    account=st.sampled_from(["", "prod"]),
    rate=st.sampled_from([Rate(200, 300), Rate(1, 0.35), Rate(10, 1.0, 5), Rate(20)]),
    told=st.booleans(),
    projects=st.integers(0, 9),
)


def _discover(draw: st.DrawFn, report: Ledger) -> None:
    report.discovery.add_listed(draw(st.integers(0, 5)), draw(st.integers(0, 5)))
    for unlisted in draw(st.lists(UNLISTED, max_size=5)):
        report.discovery.add(unlisted)
    report.add_reads(draw(st.integers(0, 9)), 0)
    report.add_sign_ins(draw(st.integers(4, 9)), draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    report.add_learned(draw(st.lists(LEARNED, max_size=4)))
    report.add_access(False, False, draw(st.dictionaries(st.sampled_from(["prod", "test"]), TEXTS)))


@st.composite
def _reports(draw: st.DrawFn, run_id: str) -> Ledger:
    clock = Clock()
    limits = draw(st.sampled_from([None, Limits(), Limits(user_rate="1/s", concurrency=1), AT_A, AT_B]))
    report = Ledger(limits, run_id=run_id, clock=clock, max_failures=draw(st.sampled_from([None, 0, 1, 3])))
    report._watch.started_at = START + timedelta(seconds=draw(st.floats(0, 1e6)))
    for outcome in draw(st.lists(_outcomes(), max_size=20)):
        clock.now += draw(st.floats(0, 10))
        report.add(outcome)
    unsettled = draw(st.integers(0, 3))
    project = draw(st.sampled_from(["p1", "p9"]))
    report.add_unsettled(draw(ACCOUNTS), project, unsettled, project_level=draw(st.booleans()))
    _discover(draw, report)
    report.add_duplicates(draw(st.integers(0, 3)))
    clean = report.targets["done"] + report.targets["gone"]
    report.add_access(clean > 0 or draw(st.booleans()), draw(st.booleans()), {})
    if (error := draw(st.sampled_from([None, "disk full", "another"]))) is not None:
        report.fail(error)
    clock.now += 1
    report.finish(*draw(st.sampled_from([(None, False), (None, True), (2, False), (15, True)])))
    return report


# ---- numbers


@given(_reports("a"))
def test_every_sum_holds(report: Report) -> None:
    """`planned` is the sum of the groups, in the whole and per project; status codes cover what was to be answered."""
    document = report.to_dict()
    for part in (document, *document["projects"]):
        targets = part["targets"]
        assert targets["planned"] == sum(targets[group] for group in GROUPS)
        assert sum(part["status_codes"].values()) == targets["done"] + targets["gone"] + targets["failed"]
    for group in ("planned", *GROUPS):
        assert document["targets"][group] == sum(project["targets"][group] for project in document["projects"])
        levels = [project["project_level"] for project in document["projects"] if "project_level" in project]
        assert document["project_level"][group] == sum(level[group] for level in levels)
        assert document["project_level"][group] <= document["targets"][group]
    targets = document["targets"]
    assert sum(document["verdicts"].values()) == targets["planned"]
    causes = [cause for cause in document["causes"] if cause["verdict"] != "gone"]
    assert sum(cause["count"] for cause in causes) == targets["failed"] + targets["skipped"]
    sums = document["answers"]["accounts"]
    assert sum(one["deleted"] for one in sums) == targets["done"]
    assert sum(one["not_found"] + one["other"] for one in sums) == targets["gone"] + targets["failed"]
    assert sum(one["count"] for one in document["answers"]["others"]) == targets["gone"] + targets["failed"]
    assert len(document["failures"]) + document["failures_omitted"] == targets["failed"]
    assert targets == report.targets


@given(st.lists(_outcomes()), st.randoms(use_true_random=False), st.sampled_from([None, 0, 2, 100]))
def test_the_order_of_arrival_does_not_matter(outcomes: list[Outcome], rng: Any, bound: int | None) -> None:
    """The same outcomes give the same report in any order, the failures that it holds included."""
    clock = Clock()
    one = _report(*outcomes, clock=clock, max_failures=bound).to_dict()
    rng.shuffle(outcomes)
    assert _report(*outcomes, clock=clock, max_failures=bound).to_dict() == one


def test_the_document_is_that_of_the_contract() -> None:
    """Every key of contract section 6 is there, spelled and nested as it says."""
    clock = Clock()
    report = _report(run_id="r1", limits=Limits(project_rate="8/s"), clock=clock)
    for number in range(7):
        report.add(_outcome(group=f"g{number}"))
    report.add(_outcome(Verdict.GONE, group="g7"))
    clock.now += 1.5
    failure: dict[str, Any] = {"status_code": 503, "error_code": "SDRS.0013", "message": "busy"}
    failure |= {"request_id": "q", "attempts": 4}
    report.add(_outcome(Verdict.TRANSIENT, group="g8", throttled=2, elapsed=1.0, **failure))
    report.add_unsettled("", "p1", 1)
    report.finish(2)
    expected = {
        "schema": "sdrs-async/report/1",
        "run_id": "r1",
        "started_at": "2030-01-02T03:04:05.000000Z",
        "finished_at": "2030-01-02T03:04:06.500000Z",
        "duration_s": 1.5,
        "interrupted": True,
        "status_codes": {"204": 7, "404": 1, "503": 1},
        "verdicts": {"deleted": 7, "gone": 1, "transient": 1, "unsettled": 1},
        "requests": {"sent": 12, "retries": 3, "throttled": 2, **NO_READS},
        "failures": [
            {"account": "", "project_id": "p1", "server_group_id": "g8", "level": "group", "verdict": "transient"}
            | failure
        ],
        "discovery": {"projects": 0, "groups": 0, "left_out": [], "failed": []},
        "project_level": dict.fromkeys(("planned", *GROUPS), 0),
        "accounts": {"signed_in": False, "refused": False, "failed": []},
        "limits": {"learned": []},
    }
    found = report.to_dict()
    assert {key: found[key] for key in expected} == expected
    assert found["speed"] == {"floor_s": 1.019978, "efficiency": 0.68, "bottleneck": "project rate"}
    assert found["latency_ms"] == {"p50": 19.978, "p90": 19.978, "p99": 19.978, "max": 20.0}
    targets = {"planned": 10, "done": 7, "gone": 1, "failed": 1, "skipped": 0, "unsettled": 1}
    assert found["targets"] == targets | {"duplicates": 0}
    assert found["projects"] == [
        {
            "account": "",
            "project_id": "p1",
            "targets": targets,
            "status_codes": expected["status_codes"],
            "duration_s": 2.0,
        }
    ]
    assert found["causes"] == [
        {
            "verdict": "transient",
            "error_code": "SDRS.0013",
            "count": 1,
            "message": "busy",
            "remedy": remedy("transient", "SDRS.0013"),
        }
    ]


def test_a_failed_target_without_any_answer_counts_as_none() -> None:
    """JSON spells the status of a target that never got an answer `"none"`, after the numbers."""
    unanswered = _outcome(Verdict.UNREACHABLE, latency=None, message="reset")
    report = _report(unanswered, _outcome(Verdict.THROTTLED, group="g2", status_code=429))
    assert list(report.to_dict()["status_codes"].items()) == [("429", 1), ("none", 1)]
    assert failure_line(unanswered)["status_code"] is None


def test_targets_that_were_never_tried_send_nothing_and_take_no_time() -> None:
    """Skipped and unsettled ones are planned, and neither requests nor status codes nor time of their project."""
    document = _report(_outcome(Verdict.SKIPPED, message="why"), _outcome(Verdict.UNSETTLED, group="g2")).to_dict()
    assert document["requests"] == {"sent": 0, "retries": 0, "throttled": 0, **NO_READS}
    assert document["status_codes"] == {}
    assert document["projects"][0]["duration_s"] == 0
    assert document["speed"] == {"floor_s": None, "efficiency": None, "bottleneck": None}
    assert [(cause["verdict"], cause["count"], cause["message"]) for cause in document["causes"]] == [
        ("skipped", 1, "why")
    ]


def test_the_time_of_a_project_goes_from_its_first_try_to_its_last_settlement() -> None:
    """What lies between counts; what other projects do does not."""
    clock = Clock()
    report = _report(clock=clock)
    clock.now += 10
    report.add(_outcome(elapsed=2.0))
    clock.now += 5
    report.add(_outcome(group="g2", elapsed=1.0))
    clock.now += 100
    report.add(_outcome(project="p2", elapsed=1.0))
    durations = {project["project_id"]: project["duration_s"] for project in report.to_dict()["projects"]}
    assert durations == {"p1": 7.0, "p2": 1.0}


def test_efficiency_is_never_above_one() -> None:
    """A median latency is a guess: a run that is faster than its floor is as fast as it can be."""
    clock = Clock()
    report = _report(_outcome(latency=5.0), clock=clock)
    clock.now += 1
    assert report.to_dict()["speed"] == {"floor_s": 5.0, "efficiency": 1.0, "bottleneck": "latency"}


def test_speed_is_not_claimed_where_it_means_nothing() -> None:
    """Nothing was answered: no floor. Several runs: no efficiency, since their time together is not one run's."""
    unanswered = _report(_outcome(Verdict.UNREACHABLE, latency=None), limits=Limits(project_rate="1/s"))
    assert unanswered.to_dict()["speed"] == {"floor_s": None, "efficiency": None, "bottleneck": None}
    clock = Clock()
    one, other = (_report(_outcome(), run_id=name, clock=clock) for name in "ab")
    clock.now += 1
    assert one.to_dict()["speed"]["efficiency"] == 0.02
    assert one.merge(other).to_dict()["speed"] == {"floor_s": 0.019978, "efficiency": None, "bottleneck": "latency"}


def test_a_report_that_is_finished_stands_still() -> None:
    """The clock goes on, the report does not."""
    clock = Clock()
    report = _report(clock=clock)
    clock.now += 3
    report.finish()
    clock.now += 3
    report.finish()
    assert report.to_dict()["duration_s"] == 3.0


@given(_reports("a"), _reports("b"))
def test_a_report_can_be_pickled(a: Report, b: Report) -> None:
    """What another process gets says the same, whatever clock a loop here has, and merges."""
    copies = [pickle.loads(pickle.dumps(one)) for one in (a, b)]
    assert [copy.to_dict() for copy in copies] == [a.to_dict(), b.to_dict()]
    assert copies[0].merge(copies[1]).to_dict() == a.merge(b).to_dict()


def test_a_live_report_is_pickled_as_it_stands() -> None:
    """It counts on by itself; the copy stands still."""
    lock, clock = threading.Lock(), Clock()
    report = _report(_outcome(), clock=lambda: clock.now + lock.locked())
    clock.now += 3
    copy = pickle.loads(pickle.dumps(report))
    clock.now += 3
    report.add(_outcome(group="g2"))
    assert (copy.targets["done"], copy.to_dict()["duration_s"]) == (1, 3.0)


def test_every_report_has_an_id_of_its_own() -> None:
    """Two runs without a given id can be merged."""
    assert len(Ledger().merge(Ledger()).runs) == 2


# ---- sign-ins


def test_sign_ins_are_counted_merged_and_read_back() -> None:
    """Those that IAM throttled, and refused, are among them; a report of an older version had none to tell of."""
    report, other = _report(run_id="a"), _report(run_id="b")
    for one in (report, other):
        one.add_sign_ins(5, 2, 1)
    merged = _reread(report).merge(other).to_dict()["requests"]
    assert (merged["sign_ins"], merged["sign_ins_throttled"], merged["sign_ins_refused"]) == (10, 4, 2)
    document = report.to_dict()
    for key in ("sign_ins", "sign_ins_throttled", "sign_ins_refused"):
        del document["requests"][key]
    assert Report.from_dict(document).to_dict()["requests"]["sign_ins"] == 0
    document = report.to_dict()
    document["requests"]["sign_ins"] = 2
    with pytest.raises(ConfigError, match=r"^report\.requests\.sign_ins: "):
        Report.from_dict(document)


# ---- is this the endpoint?


def _bare(group: str = "g1", account: str = "prod", **fields: Any) -> Outcome:
    return _outcome(Verdict.GONE, group=group, account=account, **fields)


def _run(*outcomes: Outcome, **keywords: Any) -> Ledger:
    """One whose accounts were let in."""
    report = _report(*outcomes, **keywords)
    report.add_access(True, False, {})
    return report


def _suspected(report: Report) -> list[str]:
    return [cause["message"] for cause in report.to_dict()["causes"] if cause["verdict"] == "gone"]


def test_an_account_that_got_nothing_but_404s_is_suspected() -> None:
    """Any wrong host answers so: a cause with what to check, exit code 1, and the verdict stays `gone`."""
    report = _run(_bare(), _bare("g2"), limits=AT_A)
    document = report.to_dict()
    assert (document["verdicts"], document["targets"]["gone"], report.exit_code) == ({"gone": 2}, 2, 1)
    (cause,) = document["causes"]
    assert (cause["verdict"], cause["error_code"], cause["count"]) == ("gone", None, 2)
    assert "is this the endpoint?" in cause["message"]
    for said in ("https://a is the SDRS host of these projects' region", "--endpoint", "--region", "account prod"):
        assert said in cause["remedy"]
    sums = {"account": "prod", "endpoint": "https://a", "deleted": 0, "not_found": 2, "other": 0}
    assert document["answers"]["accounts"] == [sums]
    assert document["answers"]["others"] == [{"status_code": 404, "error_code": None, "verdict": "gone", "count": 2}]
    assert _reread(report).to_dict() == document
    assert _reread(report).exit_code == 1


@pytest.mark.parametrize("code", ["404", "NoSuchBucket", "ResourceNotFound", "itemNotFound", "NOT_FOUND", "0"])
def test_a_code_of_others_speaks_for_no_endpoint(code: str) -> None:
    """Other services name their 404s too, IAM by the status once more: a wrong host all the same."""
    report = _run(_bare(error_code=code), _bare("g2"))
    assert (report.exit_code, len(_suspected(report))) == (1, 1)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (_outcome(account="prod", group="g2"), 0),
        (_bare("g2", error_code="SDRS.1013", status_code=400), 0),
        (_bare("g2", error_code="SDRS.2206"), 0),
        (_bare("g2", account="test"), 1),
        (_outcome(Verdict.REJECTED, account="prod", group="g2", status_code=400), 1),
        (_outcome(Verdict.UNREACHABLE, account="prod", group="g2", latency=None), 5),
    ],
)
def test_any_other_answer_speaks_for_the_endpoint(other: Outcome, code: int) -> None:
    """One that was deleted, one that is gone by the service's own word, one that failed; not one of another account."""
    report = _run(_bare(), other)
    assert report.exit_code == code
    assert len(_suspected(report)) == 2 * (other.account == "test")


def test_what_was_not_sent_says_nothing_of_the_endpoint() -> None:
    """Skipped and unsettled targets are in no sum: neither do they make a suspicion nor take one away."""
    unsent = (
        _outcome(Verdict.SKIPPED, account="prod", group="g2"),
        _outcome(Verdict.UNSETTLED, account="prod", group="g3"),
    )
    assert _suspected(_run(*unsent)) == []
    assert len(_suspected(_run(_bare(), *unsent))) == 1
    assert _run(*unsent).to_dict()["answers"] == {"accounts": [], "others": []}


def test_a_shard_that_deleted_speaks_for_the_others() -> None:
    """The sums are merged first: the cause of one part does not outlive what another did there, in file or memory."""
    suspect = _run(_bare(), run_id="a", limits=AT_A)
    for report in (suspect, _reread(suspect)):
        merged = report.merge(_reread(_run(_outcome(account="prod", group="g2"), run_id="b", limits=AT_A)))
        assert (_suspected(merged), merged.exit_code, _reread(merged).exit_code) == ([], 0, 0)
    still = suspect.merge(_run(_bare("g2"), run_id="b", limits=AT_A))
    assert (still.exit_code, still.to_dict()["causes"][0]["count"]) == (1, 2)


def test_the_same_name_at_another_endpoint_is_another_account() -> None:
    """Of two that have no name, as of one that moved, each stands for itself."""
    merged = _run(_bare(account=""), run_id="a", limits=AT_A).merge(_run(_outcome(group="g2"), run_id="b", limits=AT_B))
    assert merged.exit_code == 1
    assert [one["endpoint"] for one in merged.to_dict()["answers"]["accounts"]] == ["https://a", "https://b"]
    assert _reread(merged).to_dict() == merged.to_dict()


def test_a_report_of_an_older_version_is_read() -> None:
    """Without the sums nothing is suspected of it, and its 404s speak for nobody; what it deleted does."""
    old, cleaned = _older(_bare()), _older(_bare(), _outcome(account="prod", group="g3"))
    assert (_suspected(old), old.exit_code) == ([], 0)
    for account in ("prod", "test"):
        still = old.merge(_run(_bare("g2", account=account), run_id="new", limits=AT_A))
        assert (len(_suspected(still)), still.exit_code) == (1, 1)
        assert _reread(still).to_dict() == still.to_dict()
    cleared = cleaned.merge(_run(_bare("g2"), run_id="new", limits=AT_A))
    assert (_suspected(cleared), cleared.exit_code, _reread(cleared).exit_code) == ([], 0, 0)


def _older(*outcomes: Outcome) -> Report:
    document = _run(*outcomes, run_id="old", limits=AT_A).to_dict()
    del document["answers"], document["causes"][:]
    return Report.from_dict(document)


@pytest.mark.parametrize(
    ("interrupted", "signed_in", "refused", "error", "code"),
    [
        (2, True, False, None, 130),
        (15, True, False, None, 143),
        (None, False, True, None, 3),
        (None, True, False, "disk full", 2),
        (None, True, True, None, 1),
    ],
)
def test_what_stopped_a_run_goes_before_the_suspicion(
    interrupted: int | None, signed_in: bool, refused: bool, error: str | None, code: int
) -> None:
    """Signal, sign-in and error keep their exit codes; the cause is in the report all the same."""
    report = _report(_bare())
    report.add_access(signed_in, refused, {})
    if error is not None:
        report.fail(error)
    report.finish(interrupted)
    assert (report.exit_code, len(_suspected(report))) == (code, 1)


def test_the_suspicion_goes_before_what_may_pass() -> None:
    """A failure of another account that is worth another try does not turn it into a 5."""
    failed = _outcome(Verdict.TRANSIENT, account="test", group="g2", status_code=503)
    assert _run(failed).exit_code == 5
    assert _run(_bare(), failed).exit_code == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda answers: answers["accounts"][0].update(deleted=5), "accounts"),
        (lambda answers: answers["accounts"][0].update(account="x"), "accounts"),
        (lambda answers: answers["accounts"].clear(), "accounts"),
        (lambda answers: answers["accounts"].append(answers["accounts"][0]), "accounts[1].account"),
        (lambda answers: answers["accounts"][0].update(not_found=1, other=1), "accounts"),
        (lambda answers: answers["others"][0].update(count=3), "others"),
        (lambda answers: answers["others"][0].update(status_code=None), "others"),
    ],
)
def test_sums_that_were_edited_are_refused(change: Callable[[Any], object], key: str) -> None:
    """They decide what is said of the endpoint: at odds with the projects they are named."""
    failed = [_outcome(Verdict.REJECTED, group=group, account="prod", status_code=400) for group in ("g1", "g2")]
    document = _run(_outcome(account="prod"), *failed).to_dict()
    change(document["answers"])
    with pytest.raises(ConfigError, match=rf"^report\.answers\.{key}: ".replace("[", r"\[").replace("]", r"\]")):
        Report.from_dict(document)


# ---- failures


@pytest.mark.parametrize("order", [lambda groups: groups, reversed], ids=["ascending", "descending"])
def test_memory_holds_the_first_failures_in_order(order: Callable[[list[str]], Iterable[str]]) -> None:
    """However many fail, and in whatever order, the first of them by project and group are held."""
    groups = [f"g{number:04d}" for number in range(2000)]
    report = _report(
        *(_outcome(Verdict.TRANSIENT, group=group, status_code=503) for group in order(groups)), max_failures=10
    )
    # Not a list of all that is cut when somebody looks: the memory is bounded while the run goes on.
    assert len(report._tally.failures._kept) < 2 * 10 + 64
    document = report.to_dict()
    assert [failure["server_group_id"] for failure in document["failures"]] == groups[:10]
    assert document["failures_omitted"] == 1990


def test_none_holds_every_failure() -> None:
    """`max_failures=None` leaves out none."""
    report = _report(*(_outcome(Verdict.REJECTED, group=f"g{n}") for n in range(1500)), max_failures=None)
    assert (len(report.to_dict()["failures"]), report.to_dict()["failures_omitted"]) == (1500, 0)


def test_a_negative_bound_is_refused() -> None:
    """A bound below zero is a mistake of the caller."""
    with pytest.raises(ConfigError, match="max_failures"):
        Ledger(max_failures=-1)


@pytest.mark.parametrize(
    ("verdict", "code", "message", "word"),
    [
        ("rejected", None, "", "--endpoint"),
        ("rejected", None, "a web page instead of an answer ('Log in'): is this the endpoint?", "a login page"),
        ("rejected", None, "the proxy answered 407 sign in", "The proxy wants to be signed in to"),
        ("throttled", None, "", "where IAM throttles"),
        ("unreachable", None, "", "auth_url"),
        ("rejected", "APIGW.0101", "", "--endpoint must be"),
        ("rejected", "APIG.0103", "", "--endpoint must be"),
        ("rejected", "SDRS.0207", "", "targets"),
        ("rejected", "SDRS.1020", "", "state"),
        ("unauthorized", "SDRS.0002", "", "scoped"),
        ("unauthorized", "SDRS.0001", "", "project id"),
        ("unauthorized", "SDRS.0001", "", "scoped"),
        ("unauthorized", "apigw.0301", "", "clock; more than 5 refusals lock the key for 5 minutes"),
        ("unauthorized", None, "", "clouds.yaml"),
        ("forbidden", None, "", "SDRS Administrator"),
        ("forbidden", "APIGW.0802", "", "region"),
        ("conflict", "SDRS.1002", "", "busy"),
        ("throttled", None, "", "--project-rate"),
        ("throttled", "IAM.0012", "", "IAM"),
        ("transient", "SDRS.9999", "", "later"),
        ("unreachable", None, "reset by peer", "proxy"),
        ("unreachable", None, "[SSL: CERTIFICATE_VERIFY_FAILED]", "--ca-file"),
        ("skipped", None, "", "project or account was stopped"),
        ("still_there", None, "", "message"),
    ],
)
def test_every_cause_says_what_to_do(verdict: str, code: str | None, message: str, word: str) -> None:
    """The code decides before the verdict; what is not known still gets a sentence."""
    sentence = remedy(verdict, code, message)
    assert word in sentence
    assert sentence.endswith(".")


def test_every_failure_of_the_contract_has_a_remedy_of_its_own() -> None:
    """A verdict that is new in the model must not fall through to the general sentence."""
    clean = (Verdict.DELETED, Verdict.GONE, Verdict.UNSETTLED)
    assert all(remedy(verdict, None) != remedy("unknown", None) for verdict in OF_TARGETS if verdict not in clean)


def test_causes_are_counted_by_verdict_and_code_the_most_frequent_first() -> None:
    """One line for each pair, with the first of the messages in order as the example."""
    report = _report(
        _outcome(Verdict.TRANSIENT, error_code="SDRS.0013", message="z"),
        _outcome(Verdict.TRANSIENT, group="g2", message="x"),
        _outcome(Verdict.TRANSIENT, group="g3", error_code="SDRS.0013", message="y"),
        _outcome(Verdict.REJECTED, group="g4"),
    )
    causes = [(one["verdict"], one["error_code"], one["count"], one["message"]) for one in report.to_dict()["causes"]]
    assert causes == [
        ("transient", "SDRS.0013", 2, "y"),
        ("rejected", None, 1, ""),
        ("transient", None, 1, "x"),
    ]


def test_what_was_skipped_comes_after_what_failed() -> None:
    """However many were skipped, the failures that led to it are named first."""
    skipped = [_outcome(Verdict.SKIPPED, group=f"s{number}", message="stopped") for number in range(3)]
    causes = _report(*skipped, _outcome(Verdict.UNAUTHORIZED, status_code=401)).to_dict()["causes"]
    assert [(cause["verdict"], cause["count"]) for cause in causes] == [("unauthorized", 1), ("skipped", 3)]


def test_a_certificate_is_a_cause_apart() -> None:
    """Targets that share verdict and code, but not what mends them, are never one cause, merged or read back."""
    refused = _report(_outcome(Verdict.UNREACHABLE, message="refused", latency=None), run_id="a")
    untrusted = _report(_outcome(Verdict.UNREACHABLE, group="g2", message="certificate verify failed"), run_id="b")
    for report in (refused.merge(untrusted), _reread(untrusted.merge(refused))):
        causes = {cause["message"]: (cause["count"], cause["remedy"]) for cause in report.to_dict()["causes"]}
        assert causes == {
            "refused": (1, remedy("unreachable", None)),
            "certificate verify failed": (1, remedy("unreachable", None, "certificate verify failed")),
        }
        assert report.exit_code == 1


# ---- exit codes

RETRYABLE = (Verdict.THROTTLED, Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.CONFLICT)
LASTING = (Verdict.REJECTED, Verdict.UNAUTHORIZED, Verdict.FORBIDDEN)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([_outcome(), _outcome(Verdict.GONE)], 0),
        *(([_outcome(), _outcome(verdict)], 5) for verdict in RETRYABLE),
        ([_outcome(verdict) for verdict in RETRYABLE], 5),
        *(([_outcome(), _outcome(verdict)], 1) for verdict in LASTING),
        ([_outcome(Verdict.TRANSIENT), _outcome(Verdict.REJECTED)], 1),
        ([_outcome(Verdict.TRANSIENT), _outcome(Verdict.SKIPPED)], 1),
        ([_outcome(Verdict.TRANSIENT), _outcome(Verdict.UNSETTLED)], 1),
        ([_outcome(), _outcome(Verdict.SKIPPED)], 1),
        ([_outcome(), _outcome(Verdict.UNSETTLED)], 1),
        ([_outcome(Verdict.UNREACHABLE, message="certificate verify failed")], 1),
    ],
)
def test_the_exit_code_follows_from_what_became_of_the_targets(outcomes: list[Outcome], code: int) -> None:
    """0 for all clean, 5 when only causes worth retrying are in the way, 1 otherwise."""
    assert _report(*outcomes).exit_code == code


@pytest.mark.parametrize(
    ("signal", "stopped", "code"), [(2, False, 130), (15, False, 143), (15, True, 143), (None, True, 130)]
)
def test_an_interruption_comes_before_everything_else(signal: int | None, stopped: bool, code: int) -> None:
    """The signal's code, whatever failed, and also when no account signed in."""
    report = _report(_outcome(Verdict.REJECTED))
    report.add_access(False, True, {})
    report.finish(signal, stopped)
    assert report.exit_code == code
    assert (report.to_dict()["interrupted"], report.to_dict()["interrupted_by"]) == (True, signal)


def test_no_account_that_could_sign_in_is_3() -> None:
    """A refused account alone is a 3; beside one that was let in, it is a failure like another."""
    report = _report(_outcome(Verdict.UNAUTHORIZED, status_code=401))
    report.add_access(False, True, {})
    assert report.exit_code == 3
    report.add_access(True, False, {})
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("signal", "stopped", "refused", "code"),
    [(None, True, False, 2), (None, False, False, 2), (15, True, False, 143), (None, False, True, 3)],
)
def test_an_error_that_stopped_the_run_is_2(signal: int | None, stopped: bool, refused: bool, code: int) -> None:
    """Whatever failed: 2, after a signal and a refused account; the document has the message, merged ones too."""
    report = _report(_outcome(Verdict.REJECTED))
    report.fail("disk full")
    report.add_access(False, refused, {})
    report.finish(signal, stopped)
    assert report.exit_code == _reread(report).exit_code == code
    for one in (report, _reread(report), report.merge(Ledger()), Ledger().merge(report)):
        assert one.to_dict()["error"] == "disk full"


# ---- merging and reading back


@given(_reports("a"), _reports("b"), _reports("c"))
def test_merging_is_associative_and_commutative(a: Report, b: Report, c: Report) -> None:
    """Reports of parts can be put together in any order and grouping, to the same document."""
    whole = a.merge(b).merge(c)
    for other in (a.merge(b.merge(c)), c.merge(a).merge(b), b.merge(a).merge(c)):
        assert other.to_dict() == whole.to_dict()
        assert other.exit_code == whole.exit_code


@given(_reports("a"), _reports("b"))
def test_a_report_survives_its_json(a: Report, b: Report) -> None:
    """Read back, a report is the same, a merged one too; and merging what was read is merging what was written."""
    for report in (a, b, a.merge(b)):
        assert _reread(report).to_dict() == report.to_dict()
        assert _reread(report).exit_code == report.exit_code
    merged, again = a.merge(b).to_dict(), _reread(a).merge(_reread(b)).to_dict()
    for document in (merged, again):  # in memory the smaller bound holds, files keep what they have
        del document["failures"], document["failures_omitted"]
    assert again == merged


@pytest.mark.parametrize("parts", [("a", "a"), ("ab", "b"), ("ab", "bc")])
def test_a_run_is_merged_once_only(parts: tuple[str, str]) -> None:
    """A run in both reports would count twice: it is refused, inside merged reports too."""
    one, other = (_merged(*part) for part in parts)
    with pytest.raises(ConfigError, match=f"run {min(set(parts[0]) & set(parts[1]))} is in both"):
        one.merge(other)


def _merged(first: str, *others: str) -> Report:
    report: Report = _report(run_id=first)
    for other in others:
        report = report.merge(_report(run_id=other))
    return report


def test_a_merged_report_has_an_id_that_follows_from_its_runs() -> None:
    """The same runs give the same id, other runs another."""
    assert _merged("a", "b").run_id == _merged("b", "a").run_id
    assert len({_merged(*runs).run_id for runs in ("a", "b", "ab", "ac", "abc")}) == 5
    assert _merged("b", "a").runs == ("a", "b")


def test_merged_times_span_all_runs_and_add_up_per_project() -> None:
    """From the earliest start to the latest finish; a project's time is that of all its runs together."""
    early, late = _report(_outcome(elapsed=2.0), run_id="a"), _report(_outcome(elapsed=3.0), run_id="b")
    late._watch.started_at = START + timedelta(minutes=1)
    document = early.merge(late).to_dict()
    assert document["started_at"] == "2030-01-02T03:04:05.000000Z"
    assert document["duration_s"] == 60.0
    assert document["projects"][0]["duration_s"] == 5.0


def _document() -> dict[str, Any]:
    report = _report(_outcome(), _outcome(Verdict.REJECTED, group="g2", status_code=400), run_id="a")
    report.add_access(True, False, {})
    report.add_learned((Learned("user", "prod", Rate(200, 300), told=True),))
    document: dict[str, Any] = json.loads(json.dumps(report.to_dict()))
    return document


MISSING = [(key,) for key in _document()] + [
    ("targets", "planned"),
    ("targets", "duplicates"),
    ("project_level", "done"),
    ("discovery", "failed"),
    ("requests", "sent"),
    ("requests", "reads"),
    ("requests", "reads_throttled"),
    ("limits", "learned"),
    ("limits", "learned", 0, "rate"),
    ("speed", "floor_s"),
    ("speed", "bottleneck"),
    ("accounts", "refused"),
    ("latency_ms", "max"),
    ("latency_buckets", "growth"),
    ("projects", 0, "project_id"),
    ("projects", 0, "targets", "done"),
    ("failures", 0, "verdict"),
    ("projects", 0, "account"),
    ("failures", 0, "account"),
    ("causes", 0, "count"),
]
# What is worked out anew when a report is read, and what the contract does not ask for.
DERIVED = {("duration_s",)}
EXTRA = {
    *((key,) for key in ("runs", "interrupted_by", "error", "accounts", "failures_omitted", "latency_buckets")),
    *(
        ("discovery",),
        ("project_level",),
        ("answers",),
        ("requests", "reads"),
        ("requests", "reads_throttled"),
        *(("requests", key) for key in ("sign_ins", "sign_ins_throttled", "sign_ins_refused")),
        ("limits",),
        ("limits", "learned"),
        ("projects", 0, "account"),
        ("failures", 0, "account"),
    ),  # older reports lack them
}


def _change(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> str:
    """Put a value there (or nothing, for `...`), and return how an error spells the place."""
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return "report" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


@pytest.mark.parametrize("path", [path for path in MISSING if path not in DERIVED | EXTRA])
def test_a_missing_key_is_named(path: tuple[str | int, ...]) -> None:
    """A document that lacks something says what."""
    document = _document()
    place = _change(document, path, ...)
    with pytest.raises(ConfigError) as caught:
        Report.from_dict(document)
    assert str(caught.value) == f"{place}: is missing"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "sdrs-async/report/2"),
        (("schema",), 1),
        (("runs",), []),
        (("runs",), "a"),
        (("runs",), ["b"]),
        (("runs",), ["a", "a"]),
        (("runs", 0), 1),
        (("started_at",), "yesterday"),
        (("started_at",), "2030-01-02T03:04:05"),
        (("finished_at",), "2029-01-02T03:04:05Z"),
        (("interrupted",), "no"),
        (("started_at",), "0001-01-01T00:00:00+14:00"),
        (("interrupted_by",), -2),
        (("interrupted_by",), 2),
        (("accounts",), []),
        (("limits",), []),
        (("limits", "learned"), {}),
        (("limits", "learned", 0, "scope"), "fleet"),
        (("limits", "learned", 0, "account"), None),
        (("limits", "learned", 0, "rate"), 200),
        (("limits", "learned", 0, "rate"), "none"),
        (("limits", "learned", 0, "rate"), "fast"),
        (("limits", "learned", 0, "told"), "yes"),
        (("limits", "learned", 0, "projects"), -1),
        (("speed", "floor_s"), "fast"),
        (("speed", "floor_s"), float("nan")),
        (("speed", "bottleneck"), 1),
        (("targets", "planned"), 3),
        (("targets", "done"), 1.0),
        (("targets", "duplicates"), True),
        (("targets", "duplicates"), 10**400),
        (("status_codes",), {"204": 2}),
        (("verdicts",), {"deleted": 2}),
        (("verdicts",), {"deleted": 1, "incomplete": 1}),
        (("requests", "retries"), 3),
        (("requests", "sent"), 1),
        (("accounts", "signed_in"), False),
        (("error",), 1),
        (("speed", "floor_s"), -1),
        (("projects",), {}),
        (("projects", 0), "p1"),
        (("projects", 0, "account"), 1),
        (("failures", 0, "account"), ["prod"]),
        (("projects", 0, "targets", "planned"), 1),
        (("project_level", "planned"), 1),
        (("project_level",), {**dict.fromkeys(GROUPS, 0), "planned": 1, "done": 1}),
        (("projects", 0, "project_level"), {**dict.fromkeys(GROUPS, 0), "planned": 2, "done": 2}),
        (("discovery",), []),
        (("discovery", "projects"), -1),
        (("discovery", "failed"), [{"account": "a", "project_id": 1, "verdict": "gone"}]),
        (("discovery", "failed"), [{"project_id": "p", "verdict": "read", "status_code": 200, "message": ""}]),
        (("accounts", "failed"), [{"account": "a"}]),
        (("requests", "reads"), -1),
        (("requests", "reads_throttled"), -1),
        (("projects", 0, "status_codes"), {"204": 1}),
        (("projects", 0, "status_codes"), {"204": 1, "many": 1}),
        (("projects", 0, "status_codes"), {"0204": 1, "400": 1}),
        (("projects", 0, "duration_s"), -1),
        (("projects", 0, "duration_s"), 1e308),
        (("failures",), []),
        (("failures",), _document()["failures"] * 2),
        (("failures", 0, "verdict"), "gone"),
        (("failures", 0, "level"), "project"),
        (("failures", 0, "message"), None),
        (("failures_omitted",), 1),
        (("causes",), []),
        (("latency_ms",), 5),
    ],
)
def test_a_wrong_value_is_named(path: tuple[str | int, ...], value: object) -> None:
    """What has another type, or does not add up, is named with its place; nothing of it is merged in silence."""
    document = _document()
    place = _change(document, path, value)
    with pytest.raises(ConfigError) as caught:
        Report.from_dict(document)
    named = str(caught.value).split(": ")[0]
    assert place.startswith(named) or named.startswith(place)


@pytest.mark.parametrize("data", [None, [], "report", 1])
def test_what_is_no_object_is_no_report(data: object) -> None:
    """Any other JSON value is refused."""
    with pytest.raises(ConfigError, match="report: must be an object"):
        Report.from_dict(data)


CONTRACT: dict[str, Any] = {
    "schema": "sdrs-async/report/1",
    "run_id": "run",
    "started_at": "2030-01-02T03:04:05Z",
    "finished_at": "2030-01-02T03:04:06.5Z",
    "duration_s": 1.5,
    "interrupted": True,
    "targets": {"planned": 10, "done": 7, "gone": 1, "failed": 1, "skipped": 0, "unsettled": 1, "duplicates": 0},
    "status_codes": {"204": 7, "404": 1, "503": 1},
    "verdicts": {"deleted": 7, "gone": 1, "transient": 1, "unsettled": 1},
    "requests": {"sent": 14, "retries": 5, "throttled": 2},
    "projects": [
        {
            "project_id": "p",
            "targets": {"planned": 10, "done": 7, "gone": 1, "failed": 1, "skipped": 0, "unsettled": 1},
            "status_codes": {"204": 7, "404": 1, "503": 1},
            "duration_s": 0.9,
        }
    ],
    "failures": [
        {
            "project_id": "p",
            "server_group_id": "g",
            "verdict": "transient",
            "status_code": 503,
            "error_code": "SDRS.0013",
            "message": "busy",
            "request_id": "r",
            "attempts": 4,
        }
    ],
    "causes": [{"verdict": "transient", "error_code": "SDRS.0013", "count": 1, "remedy": "wait"}],
    "speed": {"floor_s": 1.4, "efficiency": 0.93, "bottleneck": "project rate"},
    "latency_ms": {"p50": 20.1, "p90": 24.0, "p99": 31.0, "max": 44.0},
}
"""The document of contract section 6, with nothing beyond it."""


def test_the_document_of_the_contract_can_be_read() -> None:
    """What the contract does not ask for may be missing: runs, accounts, omitted failures and messages follow."""
    report = Report.from_dict(CONTRACT)
    document = report.to_dict()
    assert document["targets"] == CONTRACT["targets"]
    assert document["requests"] == CONTRACT["requests"] | NO_READS
    assert document["failures"] == [CONTRACT["failures"][0] | {"level": "group", "account": ""}]
    assert (document["runs"], document["interrupted_by"], document["error"], report.exit_code) == (
        ["run"], None, None, 130
    )  # fmt: skip
    assert document["speed"] == {"floor_s": 1.4, "efficiency": 0.9333, "bottleneck": "project rate"}
    accounts = {"signed_in": True, "refused": False, "failed": []}
    assert (document["accounts"], document["failures_omitted"]) == (accounts, 0)
    assert (document["causes"][0]["message"], set(document["latency_ms"].values())) == ("", {None})
    assert report.merge(_report(_outcome(), run_id="other")).targets["planned"] == 11


def test_failures_that_a_document_lacks_are_counted_as_omitted() -> None:
    """Without a word about omitted failures, those that are not listed are."""
    assert Report.from_dict(CONTRACT | {"failures": []}).to_dict()["failures_omitted"] == 1


def test_a_document_without_accounts_shows_whether_one_was_let_in() -> None:
    """Only refusals: none was let in (3). Nothing answered: nobody knows, and none was refused."""
    for outcome, accounts, code in (
        (_outcome(Verdict.UNAUTHORIZED, status_code=401), {"signed_in": False, "refused": True}, 3),
        (_outcome(Verdict.UNREACHABLE, latency=None), {"signed_in": False, "refused": False}, 5),
        (_outcome(Verdict.REJECTED, status_code=400), {"signed_in": True, "refused": False}, 1),
    ):
        document = _report(outcome).to_dict()
        del document["accounts"]
        report = Report.from_dict(document)
        assert (report.to_dict()["accounts"], report.exit_code) == (accounts | {"failed": []}, code)


def test_a_project_that_is_there_twice_is_refused() -> None:
    """It would count twice."""
    document = _document()
    document["projects"] *= 2
    with pytest.raises(ConfigError, match=r"there twice$"):
        Report.from_dict(document)
    for project in document["projects"]:
        project["account"] = "prod"
    with pytest.raises(ConfigError, match="there twice with account 'prod'"):
        Report.from_dict(document)


# ---- several accounts


def _of_two_accounts() -> Ledger:
    """Two clouds that know the same project id, and the same group in it."""
    report = _report(
        _outcome(account="prod"),
        _outcome(account="clone"),
        _outcome(Verdict.REJECTED, group="g2", status_code=400, message="no", account="clone"),
        run_id="two",
    )
    report.add_access(True, False, {})
    return report


def test_the_same_project_with_two_accounts_is_two_projects() -> None:
    """Each account has a row of its own with its own numbers, and a failure names the account; so it is read back."""
    report = _of_two_accounts()
    report.add_unsettled("prod", "p1", 3)
    for one in (report, _reread(report), Ledger(run_id="other").merge(report)):
        document = one.to_dict()
        rows = [(row["account"], row["project_id"], row["targets"]["planned"]) for row in document["projects"]]
        assert rows == [("clone", "p1", 2), ("prod", "p1", 4)]
        assert [(row["account"], row["server_group_id"]) for row in document["failures"]] == [("clone", "g2")]
        assert document["targets"]["planned"] == 6
    assert failure_line(_outcome(account="prod"))["account"] == "prod"


def test_a_report_from_before_accounts_is_merged_and_written_back() -> None:
    """Without the key the account has no name: whose it was is not known, so it adds to nobody's project."""
    merged = Report.from_dict(CONTRACT).merge(_of_two_accounts()).to_dict()
    rows = [(row["account"], row["project_id"]) for row in merged["projects"]]
    assert rows == [("", "p"), ("clone", "p1"), ("prod", "p1")]
    assert [row["account"] for row in merged["failures"]] == ["", "clone"]
    assert Report.from_dict(merged).to_dict() == merged


def test_unknown_keys_are_left_alone() -> None:
    """A report of a later version that only adds keys can be read."""
    document = _document() | {"costs": {"projects": 1}}
    assert Report.from_dict(document).to_dict() == _document() | {"finished_at": document["finished_at"]}


def test_failures_in_a_document_are_in_order() -> None:
    """Sorted by project, then group: two reports can be compared line by line."""
    outcomes = [_outcome(Verdict.REJECTED, p, g) for p in ("p2", "p1") for g in ("b", "a")]
    ids = [(one["project_id"], one["server_group_id"]) for one in _report(*outcomes).to_dict()["failures"]]
    assert all(one <= other for one, other in pairwise(ids))


def test_what_was_listed_before_the_run_is_no_part_of_its_floor() -> None:
    """Lists that came before the question took none of the time that is measured."""
    floors = []
    for before in (False, True):
        report = Ledger(Limits("1/s", None, None, None, None), clock=lambda: 0.0)
        report.discovery.add_listed(2, projects=1)
        if before:
            report.restart()
        for group in ("g1", "g2"):
            report.add(Outcome(Target("p", group), Verdict.DELETED, 204, None, "", None, 1, 0.1, 0.1))
        report.finish()
        floors.append(round(report.floor.seconds))
    assert floors == [2, 1]


def test_what_was_throttled_to_its_end_took_no_place() -> None:
    """The floor is of what a limit let in: a group that got nothing but 429s is not among it."""
    report = Ledger(Limits("1/s", None, None, None, None), clock=lambda: 0.0)
    for group, verdict, status in (("g1", Verdict.DELETED, 204), ("g2", Verdict.THROTTLED, 429)):
        report.add(Outcome(Target("p", group), verdict, status, None, "", None, 1, 0.1, 0.1))
    assert round(report.floor.seconds) == 0


# ---- what a user reads without the JSON


def test_totals_and_failures_are_data_with_types() -> None:
    """The numbers and the failed targets have names that an editor completes, and are those of the document."""
    failed = _outcome(Verdict.REJECTED, group="g2", status_code=400)
    report = _report(_outcome(Verdict.DELETED), failed)
    report.add_duplicates(3)
    assert (report.totals.planned, report.totals.done, report.totals.failed, report.totals.duplicates) == (2, 1, 1, 3)
    assert [(one.project_id, one.server_group_id, one.verdict) for one in report.failures] == [("p1", "g2", "rejected")]
    assert [one.line() for one in report.failures] == report.to_dict()["failures"]


def test_a_report_shows_what_a_user_may_call() -> None:
    """Completion of a report under way offers reading it, not the counting; its repr tells what came of the run."""
    report = _report(_outcome(Verdict.DELETED), _outcome(Verdict.REJECTED, group="g2", status_code=400))
    shown = {name for name in dir(report) if not name.startswith("_")}
    assert {"totals", "failures", "to_dict", "merge", "exit_code", "discovery", "learned", "runs"} <= shown
    assert not {name for name in shown if name.startswith("add") or name in ("finish", "restart", "fail")}
    assert "run: planned=2, done=1, gone=0, failed=1" in repr(report)
    assert "exit_code=1" in repr(report)
