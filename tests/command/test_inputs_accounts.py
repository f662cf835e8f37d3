"""`--fleet`: several clouds and accounts in one run, each with its own credential, hosts and limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
from sdrs_async.command.app import app
from sdrs_async.command.inputs import of_fleet
from sdrs_async.credentials.keys import AkSk, StaticToken
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.session import connect
from sdrs_async.simulator import Fault, Simulator
from tests.command.test_interrupts import on_terminal
from tests.support.command import Done, finished, process, report, run, texts, until

FLAGS = Asked(None, None, None, None, CredentialKind.AUTO, Signature.ACCESS, None, False, Limits(), RetryPolicy(), {})


class Clouds(NamedTuple):
    """Two clouds that have nothing in common, and what signs in to them."""

    first: Simulator
    second: Simulator
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The token of the first and the key of the second."""
        second = self.second.environment
        return {
            "FIRST_TOKEN": self.first.token,
            "SECOND_AK": second["HUAWEICLOUD_SDK_AK"],
            "SECOND_SK": second["HUAWEICLOUD_SDK_SK"],
        }

    def file(self, more: str = "", second: str = "") -> str:
        """A fleet file of both; `more` goes to its end, `second` to the second account."""
        path = self.folder / "fleet.toml"
        path.write_text(
            f"""
[defaults]
projects = "all"

[accounts.first]
credential = {{ token_env = "FIRST_TOKEN" }}
endpoint = "{self.first.url}"
iam_endpoint = "{self.first.url}/v3"

[accounts.second]
credential.ak_sk = {{ access_key_env = "SECOND_AK", secret_key_env = "SECOND_SK" }}
endpoint = "{self.second.url}"
iam_endpoint = "{self.second.url}"
{second}
{more}
""",
            "utf-8",
        )
        return str(path)

    async def run(self, command: str, file: str, *more: str, **environ: str) -> Done:
        """Run a command on the fleet."""
        return await run(command, "--fleet", file, *more, environ=self.environ | environ)


@pytest.fixture
async def clouds(tmp_path: Path) -> AsyncIterator[Clouds]:
    """Two clouds of two projects each."""
    async with Simulator(projects=2, groups=3) as first, Simulator(projects=2, groups=5, seed=7) as second:
        yield Clouds(first, second, tmp_path)


async def test_a_fleet_is_cleaned_in_one_run(clouds: Clouds) -> None:
    """Each account is shown with its host, each gets its own projects with its own credential, one report has all."""
    out = str(clouds.folder / "report.json")
    done = await clouds.run("clean", clouds.file(), "--yes", "--json", out)
    assert done.code == 0, done.stderr
    assert done.stderr.splitlines()[:2] == [
        f"first: token, {clouds.first.url}",
        f"second: access key, {clouds.second.url}",
    ]
    assert (clouds.first.remaining, clouds.second.remaining) == (0, 0)
    document = report(clouds.folder)
    assert (document["targets"]["done"], document["discovery"]["projects"]) == (16, 4)
    assert {entry.status for entry in [*clouds.first.log, *clouds.second.log]} == {200, 204}


async def test_a_plan_of_a_fleet(clouds: Clouds) -> None:
    """What a fleet resolves to, account by account; nothing is deleted."""
    file = clouds.file(second='projects = ["*project1"]\nlimits.project_rate = "5/s"\nproject_level = true')
    done = await clouds.run("plan", file, "--json", str(clouds.folder / "plan.json"), "--user-rate", "20/s")
    assert done.code == 0, done.stderr
    assert "of 2 accounts." in " ".join(done.stdout.split())
    document = json.loads(texts(clouds.folder)["plan.json"])
    first, second = document["accounts"]
    assert (first["limits"]["project_rate"], second["limits"]["project_rate"]) == ("10/s", "5/s")
    assert first["limits"]["user_rate"] == second["limits"]["user_rate"] == "20/s"
    rows = [(row["account"], row["groups"], row["project_level"]) for row in document["projects"]]
    assert rows == [("first", 3, False), ("first", 3, False), ("second", 5, True)]
    assert {entry.method for entry in [*clouds.first.log, *clouds.second.log]} == {"GET"}


async def test_a_name_of_two_projects_in_one_account_stops_no_other(clouds: Clouds) -> None:
    """Nothing is sent for either of them, both ids are named with the account, the other account is cleaned: exit 1."""
    ids = list(dict(clouds.second.targets))
    fault = Fault(
        "status",
        route="list_own_projects",
        status=200,
        body={"projects": [{"id": one, "name": "eu-de"} for one in ids]},
    )
    clouds.second._faults = type(clouds.second._faults)([fault], 0, "", "")
    file = clouds.file(second='projects = ["eu-de"]')
    done = await clouds.run("clean", file, "--yes", "--json", str(clouds.folder / "report.json"))
    assert done.code == 1
    assert (clouds.first.remaining, [entry.method for entry in clouds.second.log]) == (0, ["GET"])
    (row,) = report(clouds.folder)["discovery"]["failed"]
    assert (row["account"], row["project_id"], row["verdict"]) == ("second", "eu-de", "rejected")
    assert row["message"].startswith(f"2 projects have this name, {ids[0]} and {ids[1]}: ")
    assert "project eu-de of account second" in " ".join(done.stdout.split())


async def test_the_question_of_a_fleet(clouds: Clouds) -> None:
    """Before a fleet is cleaned, the question shows what each account has."""
    args = ["clean", "--fleet", clouds.file(), "--project-level"]
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in clouds.environ.items():
            patch.setenv(name, value)
        terminal = await stack.enter_async_context(on_terminal(*args, token=""))
        await until(lambda: "[y/N]" in terminal.text)
        text = terminal.text
        terminal.type(b"y\n")
        assert await terminal.command.wait() == 0
    for number, cloud, groups in (("first", clouds.first, 6), ("second", clouds.second, 10)):
        host = cloud.url.removeprefix("http://")
        assert f"{number} at {host}: {groups} protection groups in 2 projects, and of the project level of 2" in text
    extent = "16 protection groups in 4 projects, and of the project level of 4 projects of 2 accounts?"
    assert f"Delete the failed tasks of {extent}" in text
    assert (clouds.first.remaining, clouds.second.remaining) == (0, 0)


async def test_a_wrong_key_stops_its_account_only(clouds: Clouds) -> None:
    """One account's key is wrong: one request of it, the other account is cleaned, exit code 1 and both named."""
    out = str(clouds.folder / "report.json")
    done = await clouds.run("clean", clouds.file(), "--yes", "--json", out, SECOND_SK="wrong-secret")
    assert done.code == 1
    assert (clouds.first.remaining, len(clouds.second.log)) == (0, 1)
    (failed,) = report(clouds.folder)["accounts"]["failed"]
    assert failed["account"] == "second"
    assert "account second: the credential was refused" in done.stdout
    done = await clouds.run("plan", clouds.file(), SECOND_SK="wrong-secret")
    assert done.code == 1
    assert "Refused accounts" in done.stdout


CLOUDS_YAML = """
clouds:
  third:
    region_name: eu-de
    auth:
      auth_url: {url}
      username: '{user}'
      password: '{password}'
      user_domain_name: '{domain}'
"""


def third(clouds: Clouds, simulator: Simulator, **wrong: str) -> dict[str, str]:
    """Write clouds.yaml with a third cloud; the variable that leads to it."""
    env = simulator.environment
    values = {
        "url": env["OS_AUTH_URL"], "user": env["OS_USERNAME"], "password": env["OS_PASSWORD"],
        "domain": env["OS_USER_DOMAIN_NAME"], **wrong,
    }  # fmt: skip
    path = clouds.folder / "clouds.yaml"
    path.write_text(CLOUDS_YAML.format(**values), "utf-8")
    return {"OS_CLIENT_CONFIG_FILE": str(path)}


THIRD = '[accounts.third]\ncredential = { os_cloud = "third" }\n'


async def test_an_account_that_cannot_sign_in_stops_no_other(clouds: Clouds) -> None:
    """A wrong password, and an IAM that is down: the others are cleaned, the report names the account, exit code 1."""
    out = str(clouds.folder / "report.json")
    for wrong, verdict in (({"password": "wrong-password"}, None), ({"url": "http://127.0.0.1:9/v3"}, "unreachable")):
        clouds.first.reset()
        environ = third(clouds, clouds.first, **wrong)
        more = ["--attempts", "1", "--log-level", "debug"]
        done = await clouds.run("clean", clouds.file(THIRD), "--yes", "--json", out, *more, **environ)
        assert done.code == 1, done.stderr
        assert "warning: third is left out: " in done.stderr
        assert "wrong-password" not in done.stdout + done.stderr
        assert clouds.first.remaining == 0
        document = report(clouds.folder)
        refused = [line["account"] for line in document["accounts"]["failed"]]
        unlisted = [(line["account"], line["verdict"]) for line in document["discovery"]["failed"]]
        assert (refused, unlisted) == ((["third"], []) if verdict is None else ([], [("third", verdict)]))


async def test_a_hanging_iam_holds_up_no_other_for_ever(clouds: Clouds) -> None:
    """An IAM that never answers costs its account the time of its tries, and nobody else anything."""
    async with Simulator(projects=1, groups=1, faults=[Fault("hang", route="create_token")]) as hanging:
        environ = third(clouds, hanging)
        flags = ["--yes", "--timeout", "0.5", "--attempts", "1"]
        done = await clouds.run("clean", clouds.file(THIRD), *flags, **environ)
    assert done.code == 1
    assert "warning: third is left out: " in done.stderr
    assert (clouds.first.remaining, clouds.second.remaining) == (0, 0)


async def test_no_account_that_can_sign_in_is_exit_code_3(clouds: Clouds) -> None:
    """When every account is refused, the exit code is 3, and each is named."""
    wrong = {"SECOND_SK": "wrong-secret", "FIRST_TOKEN": "wrong-token"}
    done = await clouds.run("clean", clouds.file(), "--yes", **wrong)
    assert done.code == 3
    assert "first: " in done.stderr.splitlines()[-1]
    assert "second: " in done.stderr.splitlines()[-1]


async def test_the_doctor_of_a_fleet(clouds: Clouds) -> None:
    """Every account is examined; one that could not even be signed in to is no good health: exit code 1."""
    done = await clouds.run("doctor", clouds.file())
    assert done.code == 0, done.stdout + done.stderr
    assert "2 accounts examined: nothing to mend" in done.stdout
    environ = third(clouds, clouds.first, password="wrong-password")
    done = await clouds.run("doctor", clouds.file(THIRD), **environ)
    assert done.code == 1
    assert "warning: third is left out: " in done.stderr
    assert {entry.method for entry in [*clouds.first.log, *clouds.second.log]} == {"GET", "POST"}


# ---- without the network


def test_flags_of_the_connection_do_not_go_with_a_fleet(tmp_path: Path) -> None:
    """They would say the same as the file, or something else: exit code 2, all of them named."""
    (tmp_path / "fleet.toml").write_text("", "utf-8")
    for command in ("clean", "plan", "doctor"):
        flags = ["--fleet", str(tmp_path / "fleet.toml"), "--region", "eu-de", "--allow-http"]
        result = CliRunner().invoke(app, [command, *flags])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "error: --region and --allow-http: with --fleet the file says that, for each account\n"


def test_all_that_is_wrong_in_a_fleet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are missing are all named, and each fault of the file is a line of its own."""
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[defaults]\nregion = "eu-de"\nprojects = "all"\n[accounts.a]\ncredential = { token_env = "A_TOKEN" }\n'
        '[accounts.b]\ncredential = { token_env = "B_TOKEN" }\n',
        "utf-8",
    )
    result = CliRunner().invoke(app, ["plan", "--fleet", str(path)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: {path}: account a: A_TOKEN is not set in the environment (token_env)",
        f"{path}: account b: B_TOKEN is not set in the environment (token_env)",
    ]
    monkeypatch.setenv("A_TOKEN", "a b")
    monkeypatch.setenv("B_TOKEN", "b")
    result = CliRunner().invoke(app, ["plan", "--fleet", str(path)])
    assert result.stderr == (
        "error: account a: A_TOKEN: the token is empty or holds characters that no token or key has (a line break, "
        "perhaps)\n"
    )


EVERY = """
[defaults]
region = "eu-de"
projects = "all"
[defaults.limits]
user_rate = "7/s"
[limits]
concurrency = 9
[accounts.token]
credential = { token_env = "X_TOKEN" }
[accounts.keys]
credential.ak_sk = { access_key_env = "X_AK", secret_key_env = "X_SK", form = "credential" }
[accounts.profile]
credential = { huawei_profile = "keys" }
[accounts.chain]
credential = { huawei = "chain" }
[accounts.cloud]
credential = { os_cloud = "prod" }
"""


def test_each_kind_of_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source of a fleet file becomes its credential; the file's limits hold, flags that are given win."""
    environ = {"X_TOKEN": "a", "X_AK": "b", "X_SK": "c"}
    (tmp_path / "fleet.toml").write_text(EVERY, "utf-8")
    (tmp_path / "keys").write_text("[basic]\nak = A\nsk = B\n", "utf-8")
    clouds = CLOUDS_YAML.format(url="https://iam.eu-de.otc.t-systems.com", user="u", password="p", domain="d")
    (tmp_path / "clouds.yaml").write_text(clouds.replace("third", "prod"), "utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    path = str(tmp_path / "fleet.toml")
    connection, selections = of_fleet(path, FLAGS, environ, project_level=False)
    kinds = {one.name: type(one.auth) for one in connection.pending}
    assert kinds == {"token": StaticToken, "keys": AkSk, "profile": AkSk, "chain": HuaweiAuth, "cloud": KeystoneAuth}
    assert connection.concurrency == 9
    assert {one.limits.user_rate for one in connection.pending} == {Rate(7)}
    assert not any(selection.project_level for selection in selections.values())
    given = Asked(
        None, None, None, None, CredentialKind.AUTO, Signature.ACCESS, None, False,
        Limits(user_rate=None, concurrency=3), RetryPolicy(), {"user_rate": None, "concurrency": 3},
    )  # fmt: skip
    connection, selections = of_fleet(path, given, environ, project_level=True)
    assert (connection.concurrency, {one.limits.user_rate for one in connection.pending}) == (3, {None})
    assert all(selection.project_level for selection in selections.values())
    with pytest.raises(ConfigError, match="X_AK is not set"):
        of_fleet(path, FLAGS, {"X_TOKEN": "a", "X_SK": "c"}, project_level=False)


def test_no_account_of_a_fleet_is_of_the_cloud_that_a_variable_names(tmp_path: Path) -> None:
    """HW_CLOUD would send the credential of one account to the cloud of another: such an account names its endpoint."""
    path = tmp_path / "fleet.toml"

    def endpoint(region: str, more: str = "", cloud: str = "cloud.example.com") -> str | None:
        account = '[accounts.a]\ncredential = { token_env = "X" }\nprojects = "all"'
        path.write_text(f'{account}\nregion = "{region}"\n{more}', "utf-8")
        connection, _ = of_fleet(str(path), FLAGS, {"X": "t", "HW_CLOUD": cloud}, project_level=False)
        return connection.pending[0].endpoint

    for region, domain in (("cn-north-4", "myhuaweicloud.com"), ("eu-de", "otc.t-systems.com")):
        with pytest.raises(ConfigError, match=f"^account a: region {region} is one of {domain}, but HW_CLOUD is cloud"):
            endpoint(region)
        by_pattern = f"https://sdrs.{region}.{domain}"
        assert endpoint(region, cloud=domain) == by_pattern
        assert endpoint(region, f'endpoint = "{by_pattern}"') == by_pattern
    with pytest.raises(ConfigError, match=r"^account a: region my-1 is of neither .*in a fleet file: endpoint"):
        endpoint("my-1")


def test_what_is_odd_in_a_fleet_is_noted(tmp_path: Path) -> None:
    """A project that is named twice does no harm, and is mentioned with its place."""
    path = tmp_path / "fleet.toml"
    path.write_text(EVERY.split("[accounts.keys]", maxsplit=1)[0].replace('"all"', '["a", "a"]'), "utf-8")
    connection, _ = of_fleet(str(path), FLAGS, {"X_TOKEN": "a"}, project_level=False)
    assert "named more than once: 'a'" in connection.notes[0]


async def test_a_note_is_shown(clouds: Clouds) -> None:
    """The notes of a fleet file are seen before the accounts."""
    done = await clouds.run("plan", clouds.file(second='projects = ["eu-de", "eu-de"]'))
    assert "named more than once: 'eu-de'" in done.stderr.splitlines()[0]


async def test_ctrl_c_leaves_a_fleet(clouds: Clouds) -> None:
    """A signal during a run over several accounts stops all of them."""
    async with Simulator(projects=1, groups=1, seed=3, faults=[Fault("hang", route="list_groups")]) as hanging:
        both = Clouds(hanging, clouds.second, clouds.folder)
        args = ["clean", "--fleet", both.file(), "--yes", "--json", str(clouds.folder / "report.json")]
        async with process(*args, environ=both.environ) as command:
            await until(lambda: hanging.log and hanging.log[-1].route == "list_groups" and not clouds.second.remaining)
            command.terminate()
            assert command.stderr is not None
            while b"a second signal ends at once" not in await command.stderr.readline():
                pass
            command.terminate()
            done = await finished(command)
    assert done.code == 143
    assert report(clouds.folder)["targets"]["done"] == 10


def test_the_weight_of_an_account_reaches_the_session(tmp_path: Path) -> None:
    """What a fleet file says of the turns of an account's projects holds in the session; without a word it is one."""
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[defaults]\nprojects = "all"\nregion = "eu-de"\n'
        '[accounts.first]\ncredential = { token_env = "FIRST" }\nweight = 7\n'
        '[accounts.second]\ncredential = { token_env = "FIRST" }\n',
        "utf-8",
    )
    connection, _ = of_fleet(str(path), FLAGS, {"FIRST": "a-token"}, project_level=False)
    accounts = [one.at(one.endpoint or "") for one in connection.pending]
    assert [one.weight for one in accounts] == [7, 1]
    users = connect(accounts)._fleet.users
    assert [(user.name, user.weight) for user in users] == [("first", 7), ("second", 1)]
