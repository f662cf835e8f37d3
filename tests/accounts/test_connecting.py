"""A fleet file as an embedding application uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdrs_async import AuthenticationError, ConfigError, Limits, RetryPolicy, Selection, connect, load_fleet
from sdrs_async.simulator import Simulator
from tests.accounts.test_account import HURRY, write_cloud

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and no variable that names a credential."""
    for name in [name for name in os.environ if name.startswith(("OS_", "HUAWEICLOUD_", "HW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    """The path of a fleet file."""
    (folder / "fleet.toml").write_text(text, "utf-8")
    return folder / "fleet.toml"


def cloud(simulator: Simulator) -> str:
    """An account by a token that says where it is, and one by a cloud that does not."""
    return f"""
        [defaults]
        projects = "all"
        [limits]
        concurrency = 5
        [accounts.token]
        credential = {{ token_env = "A_TOKEN" }}
        endpoint = "{simulator.url}"
        iam_endpoint = "{simulator.url}/v3"
        limits.user_rate = "50/s"
        project_level = true
        [accounts.cloud]
        credential = {{ os_cloud = "prod" }}
        """


async def test_a_fleet_is_cleaned(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Awaited, a fleet has all its accounts, with their limits and what to look for; its cap is for the session."""
    async with Simulator(projects=2, groups=3) as first, Simulator(projects=1, groups=4, seed=2) as second:
        write_cloud(home, monkeypatch, second)
        monkeypatch.setenv("A_TOKEN", first.token)
        fleet = await load_fleet(written(home, cloud(first)), retry=HURRY)
        one, two = fleet.accounts
        assert (one.name, one.endpoint, one.limits) == ("token", first.url, Limits(user_rate="50/s", concurrency=5))
        assert (two.name, two.endpoint, two.region) == ("cloud", second.url, "eu-de")
        assert fleet.selections == {one: Selection(None, True), two: Selection()}
        assert (fleet.concurrency, fleet.notes, dict(fleet.lost)) == (5, (), {})
        async with connect(fleet.accounts, concurrency=fleet.concurrency) as session:
            report = await session.clean(fleet.selections)
        assert (report.exit_code, first.remaining, second.remaining) == (0, 0, 0)


async def test_an_endpoint_that_is_to_be_asked_for_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a fleet sends nothing: an account whose endpoint no file tells is named, with what to do."""
    async with Simulator() as simulator:
        write_cloud(home, monkeypatch, simulator)
        monkeypatch.setenv("A_TOKEN", simulator.token)
        fleet = load_fleet(written(home, cloud(simulator)))
        with pytest.raises(ConfigError, match=r"^cloud: only the sign-in names the endpoint: `await` the fleet"):
            _ = fleet.accounts
        assert (repr(fleet), simulator.log) == ("<Fleet of token, cloud>", [])
        known = load_fleet(written(home, cloud(simulator).split("[accounts.cloud]", maxsplit=1)[0]))
        assert [account.endpoint for account in known.accounts] == [simulator.url]


async def test_who_cannot_sign_in_is_lost_and_stops_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are there, the lost one with its reason; where nobody is left, that is the error."""
    async with Simulator() as simulator:
        write_cloud(home, monkeypatch, simulator, password="wrong")
        monkeypatch.setenv("A_TOKEN", simulator.token)
        fleet = await load_fleet(written(home, cloud(simulator)))
        assert [account.name for account in fleet.accounts] == ["token"]
        assert list(fleet.selections) == list(fleet.accounts)
        assert "401" in str(fleet.lost["cloud"])
        alone = '[accounts.cloud]\nprojects = "all"\ncredential = { os_cloud = "prod" }\n'
        with pytest.raises(AuthenticationError, match=r"^cloud: .*401"):
            await load_fleet(written(home, alone))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[accounts.a", r"fleet\.toml, at its end: is not proper TOML"),
        ("[accounts.a]\nregion = 1", r"fleet\.toml, line 2: accounts\.a\.region: has to be `string`"),
        (
            '[accounts.a]\nregion = "eu-de"\nprojects = "all"\ncredential = { token_env = "NOBODY" }',
            r"fleet\.toml: account a: NOBODY is not set in the environment \(token_env\)$",
        ),
        (
            '[accounts.a]\nregion = "eu-west-0"\nprojects = "all"\ncredential = { token_env = "HOME" }',
            "^account a: region eu-west-0 is one of Orange Flexible Engine",
        ),
    ],
)
def test_a_fleet_that_cannot_be_used_is_refused(home: Path, text: str, message: str) -> None:
    """File, line, key, account and variable stand in the error."""
    with pytest.raises(ConfigError, match=message):
        load_fleet(written(home, text))
    with pytest.raises(ConfigError, match=r"nowhere\.toml: the fleet file cannot be read"):
        load_fleet(home / "nowhere.toml", retry=RetryPolicy())


def test_the_extra_that_a_fleet_file_needs_is_named() -> None:
    """The library works without it; who loads a fleet is told what to install."""
    code = "import sys; sys.modules['msgspec'] = None; import sdrs_async; sdrs_async.load_fleet('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigError: reading a fleet file needs an extra: pip install 'sdrs-async[cli]'" in done.stderr
