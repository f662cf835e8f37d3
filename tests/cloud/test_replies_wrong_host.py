"""Answers of a host that is not the service: nothing of it is called clean, by the library or the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdrs_async import Limits, RetryPolicy, StaticToken, Verdict, clean
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import arguments, report, run

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

BARE = Fault("status", status=404, body="")
LOGIN = "<!doctype html><html><title>Sign in</title></html>"
RETRY = RetryPolicy(attempts=3, base=0.01, cap=0.02)


def _deletions(simulator: Simulator) -> int:
    return sum(entry.route == "delete_group_failures" for entry in simulator.log)


async def test_a_host_that_knows_nothing_is_no_clean_one() -> None:
    """404 to everything: the verdict stays gone, the report has the cause, at its endpoint, and the exit code is 1."""
    async with Simulator(projects=2, groups=2, faults=[BARE]) as simulator:
        done = await clean(simulator.targets, endpoint=simulator.url, auth=StaticToken(simulator.token))
        url = simulator.url
    document = done.to_dict()
    assert (document["verdicts"], document["targets"]["failed"], done.exit_code) == ({"gone": 4}, 0, 1)
    (cause,) = document["causes"]
    assert "is this the endpoint?" in cause["message"]
    assert url in cause["remedy"]
    assert document["answers"]["accounts"] == [
        {"account": "", "endpoint": url, "deleted": 0, "not_found": 4, "other": 0}
    ]


async def test_one_deletion_speaks_for_the_host() -> None:
    """Then the others are what a 404 says: nothing was left to delete."""
    others = [group for _, group in Simulator(projects=1, groups=3).targets[1:]]
    async with Simulator(projects=1, groups=3, faults=[Fault("status", status=404, body="", only=others)]) as simulator:
        done = await clean(simulator.targets, endpoint=simulator.url, auth=StaticToken(simulator.token))
    assert (done.to_dict()["verdicts"], done.exit_code) == ({"deleted": 1, "gone": 2}, 0)
    assert done.to_dict()["causes"] == []


async def test_a_login_page_has_deleted_nothing() -> None:
    """200 with a page: each target is rejected, asked once, and told what came."""
    faults = [Fault("status", status=200, body=LOGIN, headers={"Content-Type": "text/html"})]
    async with Simulator(projects=2, groups=2, faults=faults) as simulator:
        auth, free = StaticToken(simulator.token), Limits(None, 8, None, None, 64)
        done = await clean(simulator.targets, endpoint=simulator.url, auth=auth, limits=free, retry=RETRY)
        assert (_deletions(simulator), simulator.remaining > 0) == (4, True)
    document = done.to_dict()
    assert (document["verdicts"], document["status_codes"], done.exit_code) == ({"rejected": 4}, {"200": 4}, 1)
    (cause,) = document["causes"]
    assert cause["message"] == "a web page instead of an answer ('Sign in'): is this the endpoint?"
    assert "a login page" in cause["remedy"]


async def test_a_list_that_is_a_login_page_says_so() -> None:
    """It is asked for once, the project is not listed, and nothing is sent for it."""
    faults = [Fault("status", status=200, body=LOGIN, route="list_groups")]
    async with Simulator(projects=1, groups=2, faults=faults) as simulator:
        args = ["clean", "--yes", "--project", simulator.targets[0][0], "--endpoint", simulator.url]
        done = await run(*args, token=simulator.token)
        assert [entry.route for entry in simulator.log] == ["list_groups"]
    assert done.code == 1
    assert "rejected: a web page instead of an answer ('Sign in')" in " ".join(done.stdout.split())


async def test_the_command_calls_nothing_clean_where_all_was_a_404(tmp_path: Path) -> None:
    """Exit code 1 and the question in the summary, the JSON report and the page; `report` says the same of the file."""
    async with Simulator(projects=2, groups=2, faults=[BARE]) as simulator:
        page = tmp_path / "page.html"
        done = await run(*arguments(tmp_path, simulator, "--html", str(page)), token=simulator.token)
        shown = await run("report", str(tmp_path / "report.json"))
    assert done.code == 1
    assert report(tmp_path)["causes"][0]["verdict"] == Verdict.GONE
    for shown_text in (done.stdout, page.read_text("utf-8"), shown.stdout):
        text = " ".join(shown_text.split())
        assert "nothing was cleaned: 1 account got nothing but 404s: is this the endpoint?" in text
        assert "is clean" not in text
        assert simulator.url in text.replace("- ", "-")
