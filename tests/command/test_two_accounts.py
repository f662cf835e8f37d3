"""Several accounts that know the same project ids: a cloud and its clone, and two credentials at one endpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.plan import names_of
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cloud.listing import Project
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.finding import Display, find
from sdrs_async.command.outlook import Watch
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.signals import interrupts
from sdrs_async.limits import RetryPolicy
from sdrs_async.session import connect
from sdrs_async.simulator import Fault, Simulator
from tests.cleanup.test_discovery import account
from tests.command.test_inputs_accounts import CLOUDS_YAML
from tests.command.test_interrupts import on_terminal
from tests.support.command import Done, report, run, texts, until

ACCOUNT = """
[accounts.{name}]
credential = {{ token_env = "{variable}" }}
endpoint = "{url}"
iam_endpoint = "{url}"
"""


class Twins(NamedTuple):
    """A cloud and its clone: the same ids of projects and of some groups, other groups beside them."""

    prod: Simulator
    clone: Simulator
    folder: Path

    def fleet(
        self, more: str = "", projects: str = '"all"', prod: str | None = None, clone: str | None = None
    ) -> list[str]:
        """The flag for a fleet file of both; `prod` and `clone`: where the accounts are instead."""
        path = self.folder / "fleet.toml"
        places = {"prod": prod or self.prod.url, "clone": clone or self.clone.url}
        accounts = "".join(
            ACCOUNT.format(name=name, variable=f"{name.upper()}_TOKEN", url=url) for name, url in places.items()
        )
        path.write_text(f"[defaults]\nprojects = {projects}\n{accounts}{more}", "utf-8")
        return ["--fleet", str(path)]

    def lines(self, *targets: tuple[str, tuple[str, str]]) -> list[str]:
        """The flag for a list of targets with their accounts."""
        path = self.folder / "targets.jsonl"
        rows = [{"account": name, "project_id": one[0], "server_group_id": one[1]} for name, one in targets]
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        return ["--targets", str(path)]

    @property
    def report(self) -> list[str]:
        """The flags for the files of a cleanup that asks nothing."""
        return ["--yes", "--json", str(self.folder / "report.json"), "--results", str(self.folder / "results.jsonl")]

    def results(self) -> list[dict[str, Any]]:
        """The results lines."""
        return [json.loads(line) for line in texts(self.folder)["results.jsonl"].splitlines()]

    def rows(self) -> dict[tuple[str, str], int]:
        """How many targets the report has of each project of each account that were done."""
        return {(row["account"], row["project_id"]): row["targets"]["done"] for row in report(self.folder)["projects"]}

    async def run(self, command: str, *more: str, **environ: str) -> Done:
        """Run a command with both tokens in its environment."""
        tokens = {"PROD_TOKEN": self.prod.token, "CLONE_TOKEN": self.clone.token}
        return await run(command, *more, environ=tokens | environ)


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    """Two projects of three groups, and their clones of five."""
    async with Simulator(projects=2, groups=3) as prod, Simulator(projects=2, groups=5) as clone:
        assert {project for project, _ in prod.targets} == {project for project, _ in clone.targets}
        yield Twins(prod, clone, tmp_path)


def deleted(simulator: Simulator) -> list[tuple[str | None, str | None]]:
    """What arrived to be deleted."""
    return [(entry.project_id, entry.server_group_id) for entry in simulator.log if entry.method == "DELETE"]


def projects(simulator: Simulator) -> list[str]:
    """The ids of its projects."""
    return sorted({project for project, _ in simulator.targets})


# ---- by selection


async def test_a_cloud_and_its_clone_are_both_cleaned(twins: Twins) -> None:
    """The same project id at two endpoints is two projects, each cleaned where it is; report and results say whose."""
    done = await twins.run("clean", *twins.fleet(), *twins.report)
    assert done.code == 0, done.stderr
    for cloud in twins.prod, twins.clone:
        assert sorted(deleted(cloud)) == sorted(cloud.targets)
    assert (twins.prod.remaining, twins.clone.remaining) == (0, 0)
    first, second = projects(twins.prod)
    assert twins.rows() == {
        ("clone", first): 5, ("clone", second): 5, ("prod", first): 3, ("prod", second): 3,
    }  # fmt: skip
    assert report(twins.folder)["targets"]["duplicates"] == 0
    assert Counter(line["account"] for line in twins.results()) == {"prod": 6, "clone": 10}
    assert "account and project" in done.stdout


async def test_projects_that_are_named_in_the_file_are_cleaned_at_each_endpoint(twins: Twins) -> None:
    """Nor does it matter whether projects are listed or named by their ids."""
    done = await twins.run("clean", *twins.fleet(projects=json.dumps(projects(twins.prod))), *twins.report)
    assert (done.code, twins.prod.remaining, twins.clone.remaining) == (0, 0, 0), done.stderr


async def test_the_question_counts_every_project_of_every_account(twins: Twins) -> None:
    """What is found is shown by account, and after a yes each account gets its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROD_TOKEN", twins.prod.token)
        patch.setenv("CLONE_TOKEN", twins.clone.token)
        async with on_terminal("clean", *twins.fleet(), "--project-level", token="") as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            text = terminal.text
            terminal.type(b"y\n")
            assert await terminal.command.wait() == 0
    for name, cloud, groups in (("prod", twins.prod, 6), ("clone", twins.clone, 10)):
        assert f"{name} at {cloud.url.removeprefix('http://')}: {groups} protection groups in 2 projects" in text
    assert "16 protection groups in 4 projects, and of the project level of 4 projects of 2 accounts?" in text
    assert (twins.prod.remaining, twins.clone.remaining) == (0, 0)


async def test_a_plan_has_every_project_of_every_account(twins: Twins) -> None:
    """Each with its own number of groups; the simulated run does all of them."""
    done = await twins.run("plan", *twins.fleet(), "--json", str(twins.folder / "plan.json"), "--simulate")
    assert done.code == 0, done.stderr
    document = json.loads(texts(twins.folder)["plan.json"])
    first, second = projects(twins.prod)
    assert [(row["account"], row["project_id"], row["groups"]) for row in document["projects"]] == [
        ("prod", first, 3), ("prod", second, 3), ("clone", first, 5), ("clone", second, 5),
    ]  # fmt: skip
    assert all(row["name"] for row in document["projects"])
    assert document["targets"] == {"groups": 16, "project_level": 0, "duplicates": 0}
    assert [one["targets"] for one in document["simulation"]["accounts"]] == [6, 10]
    assert document["simulation"]["requests"]["sent"] == 16 + 2 * 4
    assert (deleted(twins.prod), deleted(twins.clone)) == ([], [])


def test_two_clouds_may_call_the_same_project_differently() -> None:
    """A name belongs to the id with its account."""
    found = {"prod": [Project("p", "eu-de")], "clone": [Project("p", "eu-de_copy"), Project("q", "")]}
    assert names_of(found) == {("prod", "p"): "eu-de", ("clone", "p"): "eu-de_copy", ("clone", "q"): ""}


async def test_the_doctor_examines_both(twins: Twins) -> None:
    """Each account at its own endpoint, with the project of that id there."""
    done = await twins.run("doctor", *twins.fleet(), "--project", projects(twins.prod)[0])
    assert done.code == 0, done.stdout
    assert "2 accounts examined: nothing to mend" in done.stdout
    first = projects(twins.prod)[0]
    assert [f"project {first}: {count} groups" in " ".join(done.stdout.split()) for count in (3, 5)] == [True, True]


async def test_a_refused_account_stops_nothing_of_its_twin(twins: Twins) -> None:
    """The same projects go on with the other credential; the report tells whose were not done."""
    done = await twins.run("clean", *twins.fleet(), *twins.report, CLONE_TOKEN="wrong-token")
    assert done.code == 1, done.stderr
    assert (twins.prod.remaining, deleted(twins.clone)) == (0, [])
    assert twins.rows() == dict.fromkeys((("prod", project) for project in projects(twins.prod)), 3)
    assert [line["account"] for line in report(twins.folder)["accounts"]["failed"]] == ["clone"]


# ---- by lists of targets


async def test_each_line_goes_to_the_account_that_it_names(twins: Twins) -> None:
    """The first group of a project at one endpoint, the second of the same project at the other, a third at both."""
    one, two, three = twins.prod.targets[:3]
    flags = twins.lines(("prod", one), ("clone", two), ("clone", three), ("prod", three))
    done = await twins.run("clean", *twins.fleet(), *flags, *twins.report)
    assert done.code == 0, done.stderr
    assert sorted(deleted(twins.prod)) == sorted([one, three])
    assert sorted(deleted(twins.clone)) == sorted([two, three])
    assert twins.rows() == {("clone", one[0]): 2, ("prod", one[0]): 2}


async def test_what_a_run_left_goes_back_to_the_account_it_came_from(twins: Twins) -> None:
    """The failed lines of a results file are the targets of the next run, and nobody else is even signed in to."""
    busy = twins.clone.targets[0]
    assert busy in twins.prod.targets
    fault = Fault("status", status=503, only=[busy[1]], times=1)
    async with Simulator(projects=2, groups=5, faults=[fault]) as failing:
        first = await twins.run("clean", *twins.fleet(clone=failing.url), "--attempts", "1", *twins.report)
        assert first.code == 5, first.stderr
        (left,) = [line for line in twins.results() if line["verdict"] != "deleted"]
        assert (left["account"], left["project_id"], left["server_group_id"]) == ("clone", *busy)
        path = twins.folder / "left.jsonl"
        path.write_text(json.dumps(left), "utf-8")
        twins.prod.log.clear()
        failing.log.clear()
        again = await twins.run("clean", *twins.fleet(clone=failing.url), "--targets", str(path), *twins.report)
        assert again.code == 0, again.stderr
        assert (deleted(failing), twins.prod.log) == ([busy], [])
        assert "prod" not in again.stderr


# ---- by results of another endpoint


async def test_results_lines_name_the_endpoint(twins: Twins) -> None:
    """Spelled in one way, of each account its own."""
    done = await twins.run(
        "clean", *twins.fleet(prod=twins.prod.url.upper().replace("HTTP", "http") + "/v1/"), *twins.report
    )
    assert done.code == 0, done.stderr
    places = Counter((line["account"], line["endpoint"]) for line in twins.results())
    assert places == {("prod", twins.prod.url): 6, ("clone", twins.clone.url): 10}


REFUSED = [["clean", "--yes"], ["clean", "--dry-run"], ["plan"]]


async def test_results_of_the_same_variable_at_another_endpoint_are_refused(twins: Twins) -> None:
    """`OS_TOKEN` is what every token is called: its results of the cloud are no targets at the clone."""
    results = str(twins.folder / "results.jsonl")
    at_prod = ["--endpoint", twins.prod.url, "--iam-endpoint", twins.prod.url]
    done = await run("clean", *at_prod, "--all-projects", *twins.report, token=twins.prod.token)
    assert done.code == 0, done.stderr
    twins.prod.log.clear()
    for command in REFUSED:
        done = await run(*command, "--targets", results, "--endpoint", twins.clone.url, token=twins.clone.token)
        assert (done.code, done.stdout) == (2, "")
        place = f"account OS_TOKEN at {twins.prod.url}, and in this run that account is at {twins.clone.url}"
        assert f"{results}, line 1: is a target of {place}" in done.stderr
    assert (twins.prod.log, twins.clone.log) == ([], [])
    done = await run("clean", "--yes", "--targets", results, *at_prod, token=twins.prod.token)
    assert (done.code, len(deleted(twins.prod))) == (0, 6), done.stderr


def _cloud(twins: Twins, cloud: Simulator, **wrong: str) -> dict[str, str]:
    """A cloud whose catalog names its endpoint; the variable that leads to it."""
    env = cloud.environment
    values = {"user": "OS_USERNAME", "password": "OS_PASSWORD", "domain": "OS_USER_DOMAIN_NAME", "url": "OS_AUTH_URL"}
    known = {name: env[variable] for name, variable in values.items()} | wrong
    (twins.folder / "clouds.yaml").write_text(CLOUDS_YAML.format(**known), "utf-8")
    return {"OS_CLIENT_CONFIG_FILE": str(twins.folder / "clouds.yaml")}


def _add(path: str, line: dict[str, str], target: tuple[str, str]) -> None:
    """One more line for a list."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(line | {'project_id': target[0], 'server_group_id': target[1]})}")


THIRD = '[accounts.third]\ncredential = { os_cloud = "third" }\n'


async def test_an_endpoint_that_the_catalog_names_is_compared_before_anything_is_deleted(twins: Twins) -> None:
    """The cloud was moved to another endpoint meanwhile: nothing of the list is sent, of no account."""
    one, two, *_ = twins.prod.targets
    flags = [*twins.fleet(THIRD), *twins.lines(("prod", one))]
    _add(flags[-1], {"account": "third", "endpoint": twins.prod.url}, two)
    for command in (["clean", "--yes"], ["plan"]):
        done = await twins.run(*command, *flags, **_cloud(twins, twins.clone))
        assert (done.code, done.stdout) == (2, ""), done.stderr
        assert f"line 2: is a target of account third at {twins.prod.url}, and in this run" in done.stderr
        assert [twins.prod.log, deleted(twins.clone)] == [[], []]
    done = await twins.run("clean", "--yes", *flags, **_cloud(twins, twins.prod))
    assert (done.code, sorted(deleted(twins.prod))) == (0, sorted([one, two])), done.stderr


async def test_an_endpoint_that_is_known_is_compared_before_anybody_signs_in(twins: Twins) -> None:
    """The line of one account is wrong: nothing goes out to learn where the others are."""
    one, two, *_ = twins.prod.targets
    flags = [*twins.fleet(THIRD), *twins.lines(("third", one))]
    _add(flags[-1], {"account": "prod", "endpoint": twins.clone.url}, two)
    for command in REFUSED:
        done = await twins.run(*command, *flags, **_cloud(twins, twins.clone))
        assert (done.code, done.stdout) == (2, "")
        assert f"line 2: is a target of account prod at {twins.clone.url}, and in this run" in done.stderr
    assert (twins.prod.log, twins.clone.log) == ([], [])


async def test_the_endpoint_of_an_account_that_cannot_sign_in_is_handed_on(twins: Twins) -> None:
    """Its lines are skipped, and the results of this run still say where they came from."""
    one, two, *_ = twins.prod.targets
    flags = [*twins.fleet(THIRD), *twins.lines(("prod", one), ("third", one))]
    _add(flags[-1], {"account": "third", "endpoint": twins.prod.url}, two)
    environ = _cloud(twins, twins.prod, password="wrong-password")
    done = await twins.run("clean", *flags, *twins.report, **environ)
    assert done.code == 1, done.stderr
    assert [(line["account"], line["endpoint"]) for line in twins.results()] == [
        ("prod", twins.prod.url), ("third", twins.prod.url), ("third", twins.prod.url),
    ]  # fmt: skip
    # Where nothing has named it, there is no such key, and the lines are targets all the same.
    flags = [*twins.fleet(THIRD), *twins.lines(("prod", one), ("third", one))]
    assert (await twins.run("clean", *flags, *twins.report, **environ)).code == 1
    assert [line.get("endpoint") for line in twins.results()] == [twins.prod.url, None]
    assert "endpoint" not in twins.results()[1]
    results = ["--targets", str(twins.folder / "results.jsonl")]
    done = await twins.run("clean", *twins.fleet(THIRD), *results, "--yes", **_cloud(twins, twins.prod))
    assert done.code == 0, done.stderr


async def test_lines_of_another_account_are_refused_before_anything_is_sent(twins: Twins) -> None:
    """Without the fleet file nobody knows whose they are: the endpoint of this run may have the same ids."""
    flags = twins.lines(("OS_TOKEN", twins.prod.targets[0]), ("clone", twins.prod.targets[1]))
    for command in (["clean", "--yes"], ["clean", "--dry-run"], ["plan"]):
        done = await run(*command, *flags, "--endpoint", twins.prod.url, token=twins.prod.token)
        assert (done.code, done.stdout) == (2, "")
        assert f"{flags[1]}, line 2: is a target of account 'clone', and this run is of OS_TOKEN" in done.stderr
    flags = twins.lines(("prod", twins.prod.targets[0]), ("test", twins.prod.targets[1]))
    done = await twins.run("clean", *twins.fleet(), *flags, "--yes")
    assert done.code == 2
    assert "line 2: account 'test' is not one of the fleet (prod, clone)" in done.stderr
    given = ["--targets", "-", "--any-ids", "--yes"]
    done = await run("clean", *twins.fleet(), *given, environ=_tokens(twins), stdin=b"p/g\n")
    assert "stdin, line 1: names no account, and the fleet has several" in done.stderr
    assert (twins.prod.log, twins.clone.log) == ([], [])


def _tokens(twins: Twins) -> Mapping[str, str]:
    return {"PROD_TOKEN": twins.prod.token, "CLONE_TOKEN": twins.clone.token}


async def test_a_list_of_several_accounts_is_shown_by_account(twins: Twins) -> None:
    """A dry run, a plan and the question say what each account has, and send nothing."""
    one, two, three = twins.prod.targets[:3]
    flags = [*twins.fleet(), *twins.lines(("prod", one), ("clone", two), ("clone", three), ("clone", two))]
    hosts = [cloud.url.removeprefix("http://") for cloud in (twins.prod, twins.clone)]
    done = await twins.run("clean", "--dry-run", *flags)
    assert done.code == 0, done.stderr
    assert "3 protection groups in 2 projects with 2 accounts; nothing was sent" in done.stdout
    assert "Left out: 1 duplicates." in done.stdout
    assert f"prod at {hosts[0]}\n  groups  project\n       1  {one[0]}\n" in done.stdout
    assert f"clone at {hosts[1]}\n  groups  project\n       2  {one[0]}\n" in done.stdout
    done = await twins.run("plan", *flags, "--json", str(twins.folder / "plan.json"))
    rows = json.loads(texts(twins.folder)["plan.json"])["projects"]
    assert [(row["account"], row["groups"]) for row in rows] == [("prod", 1), ("clone", 2)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _tokens(twins).items():
            patch.setenv(name, value)
        async with on_terminal("clean", *flags, token="") as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"n\n")
            assert await terminal.command.wait() == 2
            text = terminal.text
    assert f"prod at {hosts[0]}: 1 protection group in 1 project" in text
    assert f"clone at {hosts[1]}: 2 protection groups in 1 project" in text
    assert "Delete the failed tasks of 3 protection groups in 2 projects of 2 accounts?" in text
    assert (twins.prod.log, twins.clone.log) == ([], [])


async def test_a_list_for_a_fleet_deletes_what_it_names_and_nothing_else(twins: Twins) -> None:
    """What the fleet file selects, the project level too, is left alone; an account without lines is not called."""
    done = await twins.run(
        "clean", *twins.fleet("project_level = true\n"), *twins.lines(("clone", twins.clone.targets[4])), *twins.report
    )
    assert done.code == 0, done.stderr
    assert (deleted(twins.clone), twins.prod.log) == ([twins.clone.targets[4]], [])
    empty = twins.folder / "empty"
    empty.write_text("", "utf-8")
    done = await twins.run("clean", *twins.fleet(), "--targets", str(empty), "--yes")
    assert (done.code, "names no protection group" in done.stderr) == (0, True)


async def test_a_list_and_other_ways_to_select_do_not_go_together(twins: Twins) -> None:
    """Only the fleet file goes with a list."""
    flags = [*twins.fleet(), *twins.lines(("prod", twins.prod.targets[0]))]
    for more in (["--all-projects"], ["--project", "p"]):
        done = await twins.run("clean", *flags, *more, "--yes")
        assert (done.code, "do not go together" in done.stderr) == (2, True)
    done = await twins.run("clean", *flags, "--region", "eu-de", "--yes")
    assert (done.code, "with --fleet the file says that" in done.stderr) == (2, True)


async def test_a_refused_account_of_a_list_stops_nothing_of_its_twin(twins: Twins) -> None:
    """Its own lines are not done, and named so; those of the same project with the other account are."""
    lines = twins.lines(
        *(("prod", one) for one in twins.prod.targets), *(("clone", one) for one in twins.clone.targets)
    )
    done = await twins.run("clean", *twins.fleet(), *lines, *twins.report, CLONE_TOKEN="wrong-token")
    assert done.code == 1, done.stderr
    assert (twins.prod.remaining, twins.clone.remaining) == (0, 20)
    planned = {row["account"]: 0 for row in report(twins.folder)["projects"]}
    for row in report(twins.folder)["projects"]:
        planned[row["account"]] += row["targets"]["planned"]
        assert row["targets"]["done"] == (3 if row["account"] == "prod" else 0)
    assert planned == {"prod": 6, "clone": 10}
    assert {line["account"] for line in report(twins.folder)["failures"]} == {"clone"}


async def test_the_lines_of_an_account_that_cannot_sign_in_are_skipped(twins: Twins) -> None:
    """Each with the reason, in the report and the results; the others' are done."""
    cloud = {"url": "http://127.0.0.1:9/v3", "user": "u", "password": "p", "domain": "d"}
    (twins.folder / "clouds.yaml").write_text(CLOUDS_YAML.format(**cloud), "utf-8")
    one, two, *_ = twins.prod.targets
    lines = twins.lines(("prod", one), ("third", one), ("third", two))
    third = '[accounts.third]\ncredential = { os_cloud = "third" }\n'
    environ = {"OS_CLIENT_CONFIG_FILE": str(twins.folder / "clouds.yaml")}
    done = await twins.run("clean", *twins.fleet(third), *lines, *twins.report, "--attempts", "1", **environ)
    assert done.code == 1, done.stderr
    assert deleted(twins.prod) == [one]
    targets = report(twins.folder)["targets"]
    assert (targets["planned"], targets["done"], targets["skipped"]) == (3, 1, 2)
    skipped = [line for line in twins.results() if line["verdict"] == "skipped"]
    assert [line["account"] for line in skipped] == ["third", "third"]
    assert all(line["message"].startswith("not sent: ") for line in skipped)


# ---- at one endpoint


async def test_two_accounts_at_one_endpoint_delete_each_group_once(twins: Twins) -> None:
    """They reach the same projects: each group is sent once, and the other account's are counted as duplicates."""
    done = await twins.run("clean", *twins.fleet(clone=twins.prod.url), *twins.report)
    assert done.code == 0, done.stderr
    assert sorted(deleted(twins.prod)) == sorted(twins.prod.targets)
    targets = report(twins.folder)["targets"]
    assert (targets["planned"], targets["done"], targets["duplicates"]) == (6, 6, 6)


@pytest.mark.parametrize("spelled", [str, str.upper], ids=["the same URL", "in capitals"])
async def test_a_list_for_two_accounts_at_one_endpoint_is_sent_once(
    twins: Twins, spelled: Callable[[str], str]
) -> None:
    """The first account of the fleet keeps what both name, however the URL of the other is spelled."""
    url = twins.prod.url.replace("127.0.0.1", "localhost")
    one, two, *_ = twins.prod.targets
    lines = twins.lines(("clone", one), ("prod", one), ("clone", two))
    done = await twins.run("clean", *twins.fleet(prod=url, clone=spelled(url)), *lines, *twins.report)
    assert done.code == 0, done.stderr
    assert sorted(deleted(twins.prod)) == sorted([one, two])
    assert report(twins.folder)["targets"]["duplicates"] == 1
    assert twins.rows() == {("clone", one[0]): 1, ("prod", one[0]): 1}


@pytest.mark.parametrize("window", [65_536, 1])
async def test_what_two_accounts_find_at_one_endpoint_is_kept_once(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the question as well: what the second account finds again is a duplicate, and no second target.

    However far apart they find it: the disk remembers what the memory has forgotten.
    """
    monkeypatch.setattr("sdrs_async.engine.intake.DUPLICATE_WINDOW", window)
    async with Simulator(projects=1, groups=4) as sim:
        first, second = account(sim, name="a"), account(sim, name="b")
        chosen = dict.fromkeys(("a", "b"), Selection(project_level=True))
        async with interrupts() as told, connect([first, second]) as session:
            with Spool() as spooled:
                plan = await find(session, chosen, spooled, told, Display(quiet=True))
                assert (spooled.groups, spooled.levels) == (4, 1)
                assert spooled.duplicates + plan.report.targets["duplicates"] == 5


async def test_the_display_counts_a_group_of_two_accounts_once() -> None:
    """Found twice at one endpoint, it settles once: when all is done, nothing is left to do."""
    async with Simulator(projects=2, groups=4) as sim:
        both = [account(sim, name="a"), account(sim, name="b")]
        cleanup = Cleanup(Connection([], RetryPolicy()), {}, Outputs())
        async with connect(both) as session, session.stream(dict.fromkeys(both, Selection())) as run:
            assert len([outcome async for outcome in run]) == 8
            shown = cleanup._snapshot(run, Watch(run.survey), None)
        assert (shown.total, shown.settled) == (8, 8)
