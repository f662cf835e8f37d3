"""Sign-ins in the report: as many as IAM saw, with those that it throttled and refused."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest

from sdrs_async import KeystoneAuth, Limits, RetryPolicy, Verdict, clean
from sdrs_async.auth import SignInCounts, SignInFailed
from sdrs_async.models import Request
from sdrs_async.report import Report
from sdrs_async.simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

FREE = Limits(None, 8, None, None, 64)
QUICK = RetryPolicy(attempts=3, base=0.01, cap=0.02, total=20.0)


def _by_project(targets: object) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for project_id, group_id in targets:  # type: ignore[attr-defined]  # pairs
        groups[project_id].append(group_id)
    return groups


def _sign_ins(report: Report) -> tuple[int, int, int]:
    requests = report.to_dict()["requests"]
    return requests["sign_ins"], requests["sign_ins_throttled"], requests["sign_ins_refused"]


async def _cleaned(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, retry: RetryPolicy = QUICK, **changed: str
) -> Report:
    for name, value in {**sim.environment, **changed}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OS_TOKEN")
    try:
        return await clean(
            _by_project(sim.targets), endpoint=sim.url, auth=KeystoneAuth.from_env(), limits=FREE, retry=retry
        )
    except Exception as error:
        report: Report = error.report  # type: ignore[attr-defined]  # what stops a run carries it
        return report


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sdrs_async")


def _logged(caplog: pytest.LogCaptureFixture, account: str = "the account") -> dict[str, int]:
    """How many sign-ins the log tells of, by how they ended; all of this account."""
    events = ("signed_in", "sign_in_failed")
    records = [vars(record) for record in caplog.records if getattr(record, "event", "") in events]
    assert {record["account"] for record in records} == {account}
    return Counter(record["event"] for record in records)


def _statuses(sim: Simulator) -> Counter[int | None]:
    return Counter(entry.status for entry in sim.log if entry.route == "create_token")


async def test_throttled_sign_ins_are_counted_as_iam_saw_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Several projects wait for the account's sign-in: its one 429 is one, as each project's is; in the log too."""
    faults = [Fault("status", status=429, route="create_token", times=1)]
    async with Simulator(projects=5, groups=2, faults=faults) as sim:
        report = await _cleaned(sim, monkeypatch)
        seen = _statuses(sim)
    assert report.targets["done"] == 10
    assert (seen[429], seen.total()) == (6, 12)
    assert _sign_ins(report) == (12, 6, 0)
    assert _logged(caplog) == {"signed_in": 6, "sign_in_failed": 6}


async def test_refused_sign_ins_are_counted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password is asked once, and told."""
    async with Simulator(projects=3, groups=1) as sim:
        report = await _cleaned(sim, monkeypatch, OS_PASSWORD="another")
        seen = _statuses(sim)
    assert (seen, _sign_ins(report)) == (Counter({401: 1}), (1, 0, 1))
    assert report.exit_code == 3
    assert _logged(caplog) == {"sign_in_failed": 1}
    assert "another" not in caplog.text


async def test_tokens_that_are_good_still_are_no_sign_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second run with the same credential goes on with the tokens of the first: the log tells of none."""
    async with Simulator(projects=1, groups=2) as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        auth = KeystoneAuth.from_env()
        for expected in ((2, 0, 0), (0, 0, 0)):
            report = await clean(_by_project(sim.targets), endpoint=sim.url, auth=auth, limits=FREE)
            assert _sign_ins(report) == expected
    assert _logged(caplog) == {"signed_in": 2}


async def test_a_target_that_fails_at_a_throttled_sign_in_names_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """IAM.0012 is a cause of its own, with what to do about IAM, and not about the rates of the service."""
    async with Simulator(projects=1, groups=2, faults=[Fault("status", status=429, route="create_token")]) as sim:
        report = await _cleaned(sim, monkeypatch, RetryPolicy(attempts=2, base=0.01, cap=0.05, total=0.5))
        seen = _statuses(sim)
    document = report.to_dict()
    assert _sign_ins(report) == (seen.total(), seen[429], 0)
    assert document["verdicts"] == {"throttled": 2}
    assert {cause["error_code"] for cause in document["causes"]} <= {"IAM.0012", None}
    assert any(cause["error_code"] == "IAM.0012" and "IAM itself" in cause["remedy"] for cause in document["causes"])


class Own:
    """A credential of the caller's that signs in; what it calls its own number of that is its own affair."""

    def __init__(self, token: str) -> None:
        self.calls = self.sign_ins = 0
        self.token = token

    async def prepare(self, project_id: str) -> float:
        self.calls += 1
        self.sign_ins += 1
        if self.calls == 1:
            raise SignInFailed("slow down", verdict=Verdict.THROTTLED)
        return 3600.0

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        return {"X-Auth-Token": self.token}

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        return True


async def test_without_counts_of_its_own_each_prepare_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """Any credential that signs in is counted."""
    async with Simulator(projects=3, groups=1) as sim:
        auth = Own(sim.environment["OS_TOKEN"])
        report = await clean(sim.targets, endpoint=sim.url, auth=auth, limits=FREE, retry=QUICK)
    assert _sign_ins(report) == (auth.calls, 1, 0)
    assert auth.calls == 4
    assert _logged(caplog) == {"signed_in": 3, "sign_in_failed": 1}


def test_each_is_in_one_report_only() -> None:
    """What was taken is not taken again."""
    counts = SignInCounts()
    counts.ask()
    counts.fail(Verdict.THROTTLED)
    assert (counts.take(), counts.take()) == ((1, 1, 0), (0, 0, 0))
