"""`clean` and `plan` that find projects and groups by themselves: what is asked, deleted, shown and left out."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.cloud.listing import Project
from sdrs_async.command import cleanup
from sdrs_async.command.app import app
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.endings import Ending
from sdrs_async.command.finding import Display, warn_of_nothing
from sdrs_async.command.outputs import Outputs
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Verdict
from sdrs_async.report import Ledger, Unlisted
from sdrs_async.simulator import Fault, Simulator
from tests.cleanup import test_discovery
from tests.command.test_interrupts import on_terminal
from tests.support.command import Done, finished, process, report, run, texts, until, write_targets

LIFTED = [word for name in ("project-rate", "endpoint-rate") for word in (f"--{name}", "none")]
DECOYS = [{**one, "account": "OS_TOKEN"} for one in test_discovery.DECOYS]
DELETES = {"delete_group_failures", "delete_project_failures"}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A server with three projects of four groups, and what else IAM lists."""
    async with Simulator(projects=3, groups=4, decoys=True) as server:
        yield server


def finding(simulator: Simulator, *more: str) -> list[str]:
    """The arguments of a cleanup of what there is at the simulator."""
    return ["clean", "--endpoint", simulator.url, "--iam-endpoint", simulator.url, "--region", "eu-de", *more]


def routes(simulator: Simulator) -> Counter[str]:
    """How often each route was called."""
    return Counter(entry.route for entry in simulator.log)


async def found(tmp_path: Path, simulator: Simulator, *more: str, **options: Any) -> Done:
    """Run a cleanup that finds its targets, asks nothing and writes `report.json`."""
    args = finding(simulator, "--yes", "--json", str(tmp_path / "report.json"), *more)
    return await run(*args, token=simulator.token, **options)


# ---- selecting


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: nothing is selected: use one of --targets, --project, --all-projects, --fleet"),
        (["--targets", "x", "--all-projects"], "error: --targets and --all-projects do not go together"),
        (["--project", "x", "--fleet", "y"], "error: --project and --fleet do not go together"),
        (["--project", ""], "error: --project: the project is empty"),
        (["--fleet", ""], "error: --fleet: the path is empty"),
        (["--all-projects"], "error: there is no terminal to ask on: add --yes to delete, or --dry-run"),
    ],
)
def test_one_way_to_select(monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str) -> None:
    """No way, two ways or an empty one: exit code 2 and one line, before anything is sent."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    given = [] if "--fleet" in flags else ["--endpoint", "http://127.0.0.1:9", "--iam-endpoint", "http://127.0.0.1:9"]
    result = CliRunner().invoke(app, ["clean", *given, *flags])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


async def test_all_projects_are_cleaned(tmp_path: Path, simulator: Simulator) -> None:
    """Every group of every usable project is cleaned; the report says what was listed, and with how many reads."""
    done = await found(tmp_path, simulator, "--all-projects")
    assert done.code == 0, done.stderr
    assert simulator.remaining == 0
    document = report(tmp_path)
    assert document["discovery"] == {"projects": 3, "groups": 12, "left_out": DECOYS, "failed": []}
    assert (document["targets"]["done"], document["project_level"]["planned"]) == (12, 0)
    assert document["requests"]["reads"] == 1 + 2 * 3
    assert routes(simulator) == {"list_own_projects": 1, "list_groups": 2 * 3, "delete_group_failures": 12}


@pytest.mark.parametrize("way", ["glob", "two"])
async def test_projects_by_id_name_and_glob(tmp_path: Path, simulator: Simulator, way: str) -> None:
    """`--project` takes ids, names and patterns of either, more than once; only these are cleaned."""
    first, second = (simulator.targets[number][0] for number in (0, 4))
    entries = {"glob": ["*ject1"], "two": [first, "eu-de_project1"]}
    flags = [word for entry in entries[way] for word in ("--project", entry)]
    done = await found(tmp_path, simulator, *flags)
    assert done.code == 0, done.stderr
    assert {project["project_id"] for project in report(tmp_path)["projects"]} == {
        second, *([first] if way == "two" else [])
    }  # fmt: skip


async def test_a_project_that_is_not_there_is_exit_code_1(tmp_path: Path, simulator: Simulator) -> None:
    """A name that nobody has is told in the report and on the screen, and the others are cleaned."""
    done = await found(tmp_path, simulator, "--project", "eu-de", "--project", "no-such")
    assert done.code == 1
    assert [line["project_id"] for line in report(tmp_path)["discovery"]["failed"]] == ["no-such"]
    assert "Not (wholly) listed" in done.stdout
    assert "project no-such of account OS_TOKEN" in done.stdout
    assert simulator.remaining == 8 * 2


async def test_a_forbidden_project_is_exit_code_1(tmp_path: Path) -> None:
    """A project whose list is refused is reported, and the others are cleaned."""
    locked = Simulator(projects=3, groups=4).targets[0][0]
    faults = [Fault("status", status=403, route="list_groups", only=[locked])]
    async with Simulator(projects=3, groups=4, faults=faults) as simulator:
        done = await found(tmp_path, simulator, "--all-projects")
        assert done.code == 1
        assert simulator.remaining == 4 * 2
    (failed,) = report(tmp_path)["discovery"]["failed"]
    assert (failed["project_id"], failed["verdict"], failed["status_code"]) == (locked, "forbidden", 403)


async def test_the_project_level_is_a_row_of_its_own(tmp_path: Path, simulator: Simulator) -> None:
    """`--project-level` adds one call per project, counted apart; never without it."""
    done = await found(tmp_path, simulator, "--all-projects", "--project-level")
    assert done.code == 0, done.stderr
    assert routes(simulator)["delete_project_failures"] == 3
    document = report(tmp_path)
    assert (document["targets"]["done"], document["project_level"]["done"]) == (15, 3)
    assert "12 groups in 3 projects: 12 deleted; project level of 3 projects: 3 deleted" in done.stdout


async def test_the_project_level_of_listed_targets(tmp_path: Path, simulator: Simulator) -> None:
    """With `--targets` it is one call for each project of the list; a dry run says so."""
    path = tmp_path / "list"
    path.write_text("".join(f"{project}/{group}\n" for project, group in simulator.targets[:6]), "utf-8")
    args = ["clean", "--endpoint", simulator.url, "--targets", str(path), "--project-level"]
    done = await run(*args, "--dry-run", token=simulator.token)
    assert "of 6 protection groups in 2 projects, and of the project level of 2 projects at" in done.stdout
    done = await run(*args, "--yes", "--json", str(tmp_path / "report.json"), token=simulator.token)
    assert done.code == 0, done.stderr
    assert routes(simulator) == {"delete_group_failures": 6, "delete_project_failures": 2}
    document = report(tmp_path)
    assert (document["targets"]["planned"], document["project_level"]["done"]) == (8, 2)


async def test_the_results_of_a_project_level_are_targets(tmp_path: Path) -> None:
    """What a run with `--project-level` left is done by the next one from its results, and asked about before."""
    fault = Fault("status", status=503, route="delete_project_failures", times=1)
    async with Simulator(projects=2, groups=2, faults=[fault]) as simulator:
        results = tmp_path / "results.jsonl"
        args = ["--all-projects", "--project-level", "--attempts", "1", "--results", str(results)]
        assert (await found(tmp_path, simulator, *args)).code == 5
        left = [line for line in results.read_text("utf-8").splitlines() if '"transient"' in line]
        (tmp_path / "left").write_text("\n".join(left), "utf-8")
        again = ["clean", "--endpoint", simulator.url, "--targets", str(tmp_path / "left")]
        simulator.log.clear()
        done = await run(*again, token=simulator.token)
        assert (done.code, "add --yes" in done.stderr, simulator.log) == (2, True, [])
        done = await run(*again, "--dry-run", token=simulator.token)
        assert "would delete the failed tasks of the project level of 2 projects at" in done.stdout
        assert "warning" not in done.stderr
        done = await run("plan", *again[1:], token=simulator.token)
        assert done.stdout.startswith("Plan: the project level of 2 projects."), done.stderr
        assert [line.split() for line in done.stdout.splitlines() if "yes" in line] == [
            ["yes", project] for project in sorted({project for project, _ in simulator.targets})
        ]
        done = await run(*again, "--yes", "--json", str(tmp_path / "report.json"), token=simulator.token)
        assert (done.code, routes(simulator)) == (0, {"delete_project_failures": 2}), done.stderr
    document = report(tmp_path)
    assert (document["targets"]["planned"], document["project_level"]["done"]) == (2, 2)


async def test_the_help_does_not_promise_too_much() -> None:
    """The help of `--project-level` says that failed tasks inside groups are another matter."""
    done = await run("clean", "--help", environ={"COLUMNS": "200"})
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "It touches none of the failed tasks inside groups" in text


async def test_nothing_found_is_a_warning(tmp_path: Path) -> None:
    """Projects without groups, and no projects: exit code 0, a warning, a report of nothing."""
    for projects in (0, 2):
        async with Simulator(projects=projects, groups=0) as simulator:
            done = await found(tmp_path, simulator, "--all-projects")
        assert done.code == 0, done.stderr
        assert "warning: no protection group was found: nothing to do" in done.stderr
        assert report(tmp_path)["targets"]["planned"] == 0


LEFT_OUT = {
    "eu-xx": "8 selected projects left out, so that nothing was looked for (of region eu-de: 3; of region eu-nl: 2; a "
    "domain, no project: 1; disabled: 1; object storage only: 1): check --region",
    "eu-de": "no protection group was found (5 projects left out: of region eu-nl: 2; a domain, no project: 1; ",
}


@pytest.mark.parametrize("command", [["clean", "--yes"], ["clean", "--dry-run"], ["plan"]], ids=" ".join)
@pytest.mark.parametrize("region", LEFT_OUT)
async def test_what_is_left_out_is_said_where_nothing_is_found(command: list[str], region: str) -> None:
    """Never only that there is nothing to do: how many projects are left out, why, and where all are, what to do."""
    async with Simulator(projects=3, groups=0, decoys=True) as simulator:
        args = [*command, *finding(simulator, "--all-projects", "--region", region)[1:]]
        done = await run(*args, token=simulator.token)
        assert not DELETES & routes(simulator).keys()
    assert done.code == 0, done.stderr
    assert f"warning: {'OS_TOKEN: ' if region == 'eu-xx' else ''}{LEFT_OUT[region]}" in done.stderr
    assert ("no protection group was found" in done.stderr) is (region == "eu-de")


def test_accounts_of_which_all_is_left_out_are_told_beside_others(capsys: pytest.CaptureFixture[str]) -> None:
    """The first ten by name, also where other accounts have groups; not one of which a project is told as failed."""
    run: Any = SimpleNamespace(report=Ledger(), left_out={}, projects={})
    run.left_out = {f"account {number:02}": Counter({"disabled": 2}) for number in range(14)}
    run.projects = {name: [] for name in run.left_out} | {"account 00": [Project("p", "eu-de")]}
    run.report.discovery.add(Unlisted("eu-nl", "account 01", Verdict.REJECTED, message="left out: disabled"))
    warn_of_nothing(run, Display(), found=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: account 02: 2 selected projects left out, so that nothing was looked for (")
    assert len(lines) == 11
    assert lines[-1] == "warning: 2 more accounts of which all projects were left out"


async def test_what_is_left_out_is_in_summary_page_and_merged_report(tmp_path: Path, simulator: Simulator) -> None:
    """Also of a pattern, which may fit projects that cannot be used; two reports together count both."""
    page = tmp_path / "page.html"
    done = await found(tmp_path, simulator, "--project", "eu-*", "--html", str(page))
    assert done.code == 0, done.stderr
    words = "of region eu-nl: 2; disabled: 1"
    assert f"Left out  3 projects: {words}" in done.stdout
    assert f"<dt>Left out</dt><dd>3 projects: {words}</dd>" in page.read_text("utf-8")
    (tmp_path / "report.json").rename(tmp_path / "first.json")
    done = await found(tmp_path, simulator, "--all-projects")
    both = [str(tmp_path / name) for name in ("first.json", "report.json")]
    done = await run("report", *both)
    assert "Left out  8 projects: of region eu-nl: 4; disabled: 2; a domain, no project: 1;" in done.stdout
    done = await found(tmp_path, simulator, "--project", "eu-nl*")
    assert done.code == 0
    assert "warning: OS_TOKEN: 2 selected projects left out, so that nothing was looked for" in done.stderr
    assert "2 projects left out, and no other selected, so nothing was done" in done.stdout


async def test_the_question_says_what_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is deleted: how many projects of the account nothing was looked for in, and why."""
    lines: list[str] = []

    async def keep(question: list[str]) -> bool:
        lines.extend(question)
        return True

    monkeypatch.setattr(cleanup, "confirmed", keep)
    async with Simulator(projects=1, groups=1, decoys=True) as simulator:
        assert (await asked(simulator, tmp_path, region="eu-de")).exit_code == 0
    words = "of region eu-nl: 2; a domain, no project: 1; disabled: 1; object storage only: 1"
    assert f"left out: 5 projects ({words})" in lines


async def test_a_name_of_two_projects_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Both ids are named, nothing is sent for either, and the others are cleaned: exit code 1."""
    ids = list(dict(Simulator(projects=3, groups=1).targets))
    entries = [{"id": one, "name": name} for one, name in zip(ids, ("eu-de", "eu-de", "eu-de_x"), strict=True)]
    fault = Fault("status", route="list_own_projects", status=200, body={"projects": entries})
    async with Simulator(projects=3, groups=1, faults=[fault]) as simulator:
        done = await found(tmp_path, simulator, "--project", "eu-de", "--project", "eu-de_x")
        assert [entry.project_id for entry in simulator.log if entry.route in DELETES] == [ids[2]]
    assert done.code == 1
    text = " ".join(done.stdout.split())
    assert f"2 projects have this name, {ids[0]} and {ids[1]}: give the id of the one that is meant" in text
    assert "Nothing was sent for it: give --project (fleet file: projects) the id" in text
    assert "project eu-de of account OS_TOKEN" in text


@pytest.mark.parametrize("command", [["clean", "--yes"], ["clean", "--dry-run"], ["plan"]], ids=" ".join)
@pytest.mark.parametrize("quirk", ["wrong-count", "shrinks"])
async def test_a_list_in_doubt_is_never_nothing_to_do(command: list[str], quirk: str) -> None:
    """Where groups may be missing, exit code 1 and the reason; no word that all is clean or nothing to do."""
    async with Simulator(projects=1, groups=150, failed_tasks=1, quirks=[quirk, "small-pages"]) as simulator:
        done = await run(*command, *finding(simulator, "--all-projects", *LIFTED)[1:], token=simulator.token)
    assert done.code == 1
    assert "Not (wholly) listed" in done.stdout
    assert "run again once nobody changes the project" in " ".join(done.stdout.split())
    assert "nothing to do" not in done.stderr
    assert "every group is clean" not in done.stdout


async def test_pages_and_deletions_overlap(tmp_path: Path) -> None:
    """With `--yes` the first deletion goes out before the last page is in."""
    async with Simulator(projects=1, groups=2500, failed_tasks=1) as simulator:
        done = await found(tmp_path, simulator, "--all-projects", *LIFTED)
        assert done.code == 0, done.stderr
        assert simulator.remaining == 0
        order = [entry.route for entry in simulator.log]
    assert order.index("delete_group_failures") < len(order) - 1 - order[::-1].index("list_groups")


# ---- the question


async def test_the_question_names_what_was_found(tmp_path: Path, simulator: Simulator) -> None:
    """On a terminal all is found first; after a yes it is deleted, and the report has both, in one run."""
    args = finding(simulator, "--all-projects", "--project-level", "--json", str(tmp_path / "report.json"))
    async with on_terminal(*args, token=simulator.token) as terminal:
        await until(lambda: "[y/N]" in terminal.text)
        assert not DELETES & routes(simulator).keys()
        text = terminal.text
        terminal.type(b"y\n")
        assert await terminal.command.wait() == 0
    host = simulator.url.removeprefix("http://")
    extent = "12 protection groups in 3 projects, and of the project level of 3 projects"
    assert f"OS_TOKEN at {host}: {extent}" in text
    assert f"       4  {simulator.targets[0][0]}  eu-de\r\n" in text
    assert f"Delete the failed tasks of {extent} with OS_TOKEN? This cannot be undone. [y/N]" in text
    assert "Finding" in text
    assert "12 groups in 3 projects found so far" in text
    document = report(tmp_path)
    assert (document["targets"]["done"], document["project_level"]["done"]) == (15, 3)
    assert document["discovery"] == {"projects": 3, "groups": 12, "left_out": DECOYS, "failed": []}
    requests = {"sent": 15, "retries": 0, "throttled": 0, "reads": 7, "reads_throttled": 0}
    assert requests.items() <= document["requests"].items()
    assert simulator.remaining == 0


async def test_a_no_deletes_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """Anything but a yes: exit code 2, nothing deleted, no files."""
    args = finding(simulator, "--all-projects", "--json", str(tmp_path / "report.json"))
    async with on_terminal(*args, token=simulator.token) as terminal:
        await until(lambda: "[y/N]" in terminal.text)
        terminal.type(b"n\n")
        assert await terminal.command.wait() == 2
        await until(lambda: "error: not confirmed: nothing was deleted" in terminal.text)
    assert not DELETES & routes(simulator).keys()
    assert texts(tmp_path) == {}


async def test_ctrl_c_at_the_question(tmp_path: Path, simulator: Simulator) -> None:
    """Ctrl-C instead of an answer: 130; what was found is in the report, of which nothing was planned."""
    args = finding(simulator, "--all-projects", "--json", str(tmp_path / "report.json"))
    async with on_terminal(*args, token=simulator.token) as terminal:
        await until(lambda: "[y/N]" in terminal.text)
        terminal.type(b"\x03")
        terminal.command.send_signal(signal.SIGINT)
        assert await terminal.command.wait() == 130
    assert not DELETES & routes(simulator).keys()
    document = report(tmp_path)
    assert (document["interrupted"], document["targets"]["planned"], document["discovery"]["groups"]) == (True, 0, 12)


async def confirm(question: list[str]) -> bool:
    """Somebody who says yes to everything."""
    return True


async def asked(simulator: Simulator, tmp_path: Path, **options: Any) -> Ending:
    """A cleanup of all projects, that asks, inside this process."""
    token = options.pop("token", simulator.token)
    account = Pending("one", "token", StaticToken(token), simulator.url, simulator.url, **options)
    connection = Connection([account], RetryPolicy(base=0.01))
    outputs = Outputs(json=str(tmp_path / "report.json"))
    return await Cleanup(connection, {"one": Selection()}, outputs, asking=True, interval=0.01).run()


async def test_limits_hold_over_both_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listing, question and deletion are one session: no second of it sees more than the limit allows."""
    monkeypatch.setattr(cleanup, "confirmed", confirm)
    async with Simulator(projects=2, groups=4, latency=0.05) as simulator:
        ending = await asked(simulator, tmp_path, limits=Limits(project_rate="3/s"))
        assert ending.exit_code == 0
        assert simulator.most_in_window(1.0) <= 3
        assert simulator.remaining == 0
    shown = capsys.readouterr()
    assert "0 groups in 0 projects found so far: 0.0/s; 0:00 elapsed" in shown.err
    assert "of 8 groups: " in shown.err


async def test_more_than_a_batch_is_found_before_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thousands of groups go through the file on disk to the deletion, each once."""
    monkeypatch.setattr(cleanup, "confirmed", confirm)
    async with Simulator(projects=2, groups=1200, failed_tasks=1) as simulator:
        limits = Limits(project_rate=None, endpoint_rate=None)
        assert (await asked(simulator, tmp_path, limits=limits)).exit_code == 0
        assert simulator.remaining == 0
    targets = report(tmp_path)["targets"]
    assert (targets["planned"], targets["duplicates"]) == (2400, 0)


async def test_a_refused_token_ends_before_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When nothing can be listed because nobody is let in: exit code 3, no question, and a report."""
    monkeypatch.setattr(cleanup, "confirmed", None)
    async with Simulator(projects=2, groups=4) as simulator:
        assert (await asked(simulator, tmp_path, token="not-the-token")).exit_code == 3
        assert not DELETES & routes(simulator).keys()
    assert "error: no account could sign in (one: " in capsys.readouterr().err
    assert report(tmp_path)["accounts"]["refused"] is True


async def test_nothing_found_is_no_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a group there is nothing to ask: a warning, and the report of nothing."""
    monkeypatch.setattr(cleanup, "confirmed", None)
    async with Simulator(projects=2, groups=0) as simulator:
        assert (await asked(simulator, tmp_path)).exit_code == 0
    assert "warning: no protection group was found" in capsys.readouterr().err
    assert report(tmp_path)["discovery"] == {"projects": 2, "groups": 0, "left_out": [], "failed": []}


async def test_more_projects_than_the_question_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many projects the question shows the largest, how many more there are, and what could not be listed."""
    lines: list[str] = []

    async def keep(question: list[str]) -> bool:
        lines.extend(question)
        return True

    monkeypatch.setattr(cleanup, "confirmed", keep)
    locked = Simulator(projects=13).targets[0][0]
    faults = [Fault("status", status=403, route="list_groups", only=[locked])]
    async with Simulator(projects=13, groups=1, faults=faults) as simulator:
        assert (await asked(simulator, tmp_path)).exit_code == 1
    assert lines[0].endswith("12 protection groups in 12 projects")
    assert lines[-3].strip() == "and 2 more projects"
    assert lines[-2].startswith(f"warning: not (wholly) listed: project {locked} of account one (forbidden APIGW")
    assert len(lines) == 1 + 10 + 1 + 1 + 1


# ---- signals


@pytest.mark.parametrize("command", ["clean", "plan"])
async def test_a_signal_during_discovery(tmp_path: Path, command: str) -> None:
    """The first signal ends it gently, the second at once: nothing was planned, and all that is known is written."""
    faults = [Fault("hang", route="list_groups")]
    async with Simulator(projects=2, groups=3, faults=faults) as simulator:
        args = finding(simulator, "--all-projects", "--json", str(tmp_path / "report.json"))
        args = [*args, "--yes"] if command == "clean" else ["plan", *args[1:]]
        async with process(*args, token=simulator.token) as started:
            await until(lambda: routes(simulator)["list_groups"] == 2)
            started.send_signal(signal.SIGTERM)
            assert started.stderr is not None
            while b"a second signal ends at once" not in await started.stderr.readline():
                pass
            started.send_signal(signal.SIGTERM)
            done = await finished(started)
        assert done.code == 143
        assert done.stderr.startswith("ending at once")
        assert ("Interrupted: there may be more that was not found." in done.stdout) is (command == "plan")
        assert not DELETES & routes(simulator).keys()
    document = json.loads(texts(tmp_path)["report.json"])
    assert document["interrupted"] is True
    assert document["discovery"] == {"projects": 2, "groups": 0, "left_out": [], "failed": []}
    assert document["targets"]["planned" if command == "clean" else "groups"] == 0


async def test_ctrl_c_while_finding_asks_nothing(tmp_path: Path) -> None:
    """Ctrl-C before the question: 130, the report is there, nothing is asked."""
    async with Simulator(projects=2, groups=3, faults=[Fault("hang", route="list_groups")]) as simulator:
        args = finding(simulator, "--all-projects", "--json", str(tmp_path / "report.json"))
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: routes(simulator)["list_groups"] == 2)
            terminal.command.send_signal(signal.SIGINT)
            await until(lambda: "Ctrl-C again" in terminal.text)
            terminal.command.send_signal(signal.SIGINT)
            assert await terminal.command.wait() == 130
        assert "[y/N]" not in terminal.text
    assert report(tmp_path)["discovery"]["projects"] == 2


# ---- looking only


async def test_a_dry_run_lists_and_deletes_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """`--dry-run` shows what was found, needs no `--yes`, and says that nothing was deleted."""
    args = finding(simulator, "--all-projects", "--dry-run", "--json", str(tmp_path / "report.json"))
    done = await run(*args, token=simulator.token)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("Dry run: nothing was deleted. 12 protection groups in 3 projects.\nTakes at least")
    assert "\n\nOS_TOKEN\n" in done.stdout
    assert "warning: a dry run writes no files: --json left out" in done.stderr
    assert not DELETES & routes(simulator).keys()
    assert texts(tmp_path) == {}


async def test_a_plan_shows_accounts_projects_and_what_is_left_out(simulator: Simulator) -> None:
    """Name, host, region, credential, limits; projects with names and groups; what is left out, and why."""
    args = ["plan", *finding(simulator, "--all-projects", "--project-level", "--user-rate", "50/s")[1:]]
    done = await run(*args, token=simulator.token)
    assert done.code == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:9] == [
        "Plan: 12 protection groups in 3 projects, and of the project level of 3",
        "projects.",
        "Takes at least 0.02 s, with its lists (20 ms per answer assumed): no limit",
        "bounds it, only the time of an answer.",
        "",
        "OS_TOKEN",
        f"Endpoint {simulator.url}",
        "Region eu-de",
        "Credential token",
    ]
    text = " ".join(lines)
    assert "Limits 10/s per project, 8 at a time per project, 50/s in all, 200/s to the endpoint, 64 at a time" in text
    assert "Left out of region eu-nl: 2; a domain, no project: 1; disabled: 1; object storage only: 1" in text
    assert f"4 yes {simulator.targets[0][0]} eu-de" in lines
    assert not DELETES & routes(simulator).keys()
    done = await run("plan", *finding(simulator, "--project", "eu-de*")[1:], token=simulator.token)
    assert "Left out    disabled: 1 " in done.stdout


async def test_a_plan_as_json(tmp_path: Path, simulator: Simulator) -> None:
    """`--json` has the same facts, on stdout or in a file; then the text is on stderr."""
    args = ["plan", *finding(simulator, "--all-projects", "--quiet")[1:]]
    done = await run(*args, "--json", "-", token=simulator.token)
    document = json.loads(done.stdout)
    assert done.stderr.startswith("Plan: 12 protection groups")
    assert document["discovery"] == {"projects": 3, "groups": 12, "left_out": DECOYS, "failed": []}
    assert document["accounts"][0]["left_out"]["disabled"] == 1
    assert document["accounts"][0]["limits"]["project_rate"] == "10/s"
    assert sorted(project["groups"] for project in document["projects"]) == [4, 4, 4]
    assert {project["name"] for project in document["projects"]} == {"eu-de", "eu-de_project1", "eu-de_project2"}
    assert not document["projects"][0]["project_level"]
    done = await run(*args[:-1], "--json", str(tmp_path / "plan.json"), token=simulator.token)
    assert done.stderr.endswith(f"wrote {tmp_path / 'plan.json'}\n")
    assert json.loads(texts(tmp_path)["plan.json"])["projects"] == document["projects"]


async def test_a_plan_of_a_list_sends_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """With `--targets` a plan counts what stands in the list."""
    path = write_targets(tmp_path, simulator)
    done = await run("plan", "--targets", path, "--endpoint", simulator.url, token=simulator.token)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("Plan: 12 protection groups in 3 projects.\n")
    assert "Region      not known" in done.stdout
    assert f"       4 {simulator.targets[0][0]}" in done.stdout
    assert simulator.log == []


async def test_a_plan_says_what_could_not_be_listed() -> None:
    """Projects whose list is refused are shown with the reason and the remedy: exit code 1."""
    locked = Simulator(projects=2, groups=3).targets[0][0]
    faults = [Fault("status", status=403, route="list_groups", only=[locked])]
    async with Simulator(projects=2, groups=3, faults=faults) as simulator:
        args = ["plan", *finding(simulator, "--all-projects")[1:]]
        done = await run(*args, token=simulator.token)
    assert done.code == 1
    assert "Not (wholly) listed" in done.stdout
    assert f"project {locked} of account OS_TOKEN" in done.stdout


async def test_a_list_of_projects_that_fails_is_exit_code_1() -> None:
    """Without the list of projects there is nothing to show but that: exit code 1, and no word that all is well."""
    async with Simulator(projects=2, groups=3, faults=[Fault("status", status=404, route="list_own_projects")]) as sim:
        for command in (["plan"], ["clean", "--yes"]):
            done = await run(*command, *finding(sim, "--all-projects")[1:], token=sim.token)
            assert done.code == 1
            assert "Not (wholly) listed" in done.stdout
            assert "nothing to do" not in done.stderr


async def test_many_gaps_are_summed_up() -> None:
    """More projects than fit are counted."""
    faults = [Fault("status", status=403, route="list_groups")]
    async with Simulator(projects=17, groups=1, faults=faults) as simulator:
        done = await run("plan", *finding(simulator, "--all-projects")[1:], token=simulator.token)
    assert done.code == 1
    assert "and 2 more: 2 forbidden" in done.stdout
