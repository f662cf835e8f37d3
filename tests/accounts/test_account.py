"""Accounts that the library finds by itself, as an embedding application asks for them."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import pytest

from sdrs_async import Account, AuthenticationError, ConfigError, Limits, Request, RetryPolicy, Selection, connect
from sdrs_async.auth import Traits
from sdrs_async.simulator import Simulator

HURRY = RetryPolicy(attempts=2, timeout=10.0, base=0.001)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and no variable that names a credential, a host or a region."""
    for name in [name for name in os.environ if name.startswith(("OS_", "HUAWEICLOUD_", "HW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_cloud(folder: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator, **wrong: str) -> None:
    """A clouds.yaml with the cloud `prod`, which says nothing of where the service is."""
    env = simulator.environment
    auth = {
        "auth_url": env["OS_AUTH_URL"], "username": env["OS_USERNAME"], "password": env["OS_PASSWORD"],
        "user_domain_name": env["OS_USER_DOMAIN_NAME"], **wrong,
    }  # fmt: skip
    lines = [f"      {key}: '{value}'" for key, value in auth.items()]
    text = "\n".join(["clouds:", "  prod:", "    region_name: eu-de", "    auth:", *lines]) + "\n"
    (folder / "clouds.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(folder / "clouds.yaml"))


async def clean_all(account: Account) -> int:
    """How many groups of the account are clean after everything in it was looked for."""
    async with connect(account) as session:
        return (await session.clean(Selection())).targets["done"]


async def test_a_cloud_is_found_and_cleaned(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud of clouds.yaml is enough: its catalog names the endpoint, and its IAM lists the projects."""
    async with Simulator(projects=2, groups=3) as simulator:
        write_cloud(home, monkeypatch, simulator)
        account = await Account.from_cloud("prod", limits=Limits(user_rate="90/s"), weight=3, retry=HURRY)
        assert (account.name, account.endpoint, account.region) == ("cloud prod", simulator.url, "eu-de")
        assert (account.iam_endpoint, account.weight) == (simulator.url, 3)
        assert account.limits == Limits(user_rate="90/s")
        assert (await clean_all(account), simulator.remaining) == (6, 0)


async def test_what_is_given_is_not_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that is given, and a name, are the account's; nothing is sent for it."""
    async with Simulator() as simulator:
        write_cloud(home, monkeypatch, simulator)
        account = await Account.from_cloud("prod", name="mine", endpoint="https://sdrs.example.com")
        assert (account.name, account.endpoint, simulator.log) == ("mine", "https://sdrs.example.com", [])


@pytest.mark.parametrize(
    ("credential", "signature"),
    [("auto", "access"), ("token", "access"), ("ak-sk", "credential"), ("openstack", "access")],
)
async def test_the_environment_is_found_and_cleaned(
    monkeypatch: pytest.MonkeyPatch, credential: str, signature: str
) -> None:
    """Each kind of credential in the variables that `simulate` prints finds everything and deletes it."""
    async with Simulator(projects=2, groups=2) as simulator:
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        account = await Account.from_environment(credential=credential, signature=signature, region="eu-de")
        assert (account.endpoint, account.region) == (simulator.url, "eu-de")
        assert (await clean_all(account), simulator.remaining) == (4, 0)


REFUSED: list[tuple[dict[str, str], dict[str, Any], str]] = [
    (
        {},
        {},
        "no credential was found: no cloud is named .*--os-cloud, OS_CLOUD.; OS_TOKEN is not set",
    ),
    ({"OS_TOKEN": "t"}, {}, "^OS_TOKEN: neither an endpoint nor a region is known"),
    ({"OS_TOKEN": "t"}, {"name": "prod"}, "^prod: neither an endpoint nor a region is known"),
    ({"OS_TOKEN": "a\n"}, {"region": "eu-de"}, "^OS_TOKEN: the token is empty or holds"),
    ({"OS_TOKEN": "t"}, {"endpoint": "http://sdrs.example.com"}, "unencrypted"),
    ({"OS_TOKEN": "t"}, {"credential": "password"}, "^credential must be auto or token or .*, not 'password'"),
    ({"OS_TOKEN": "t"}, {"signature": None}, "^signature must be access or credential, not None"),
    ({"OS_TOKEN": "t"}, {"region": "eu-de", "weight": 0}, "^the weight of account OS_TOKEN must be a whole number"),
    ({"OS_TOKEN": "t"}, {"region": "eu-de", "limits": 3}, "^limits must be a Limits or None, not 3"),
    ({"OS_TOKEN": "t"}, {"region": "eu-de", "retry": 3}, "^retry must be a RetryPolicy or None, not 3"),
    ({"OS_TOKEN": "t"}, {"region": "eu-de", "ca_file": "/nowhere.pem"}, "/nowhere.pem"),
]


@pytest.mark.parametrize(("environ", "options", "message"), REFUSED)
async def test_what_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], options: dict[str, Any], message: str
) -> None:
    """Variable, option or account stand in the error; nothing is sent."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        await Account.from_environment(**options)


async def test_a_cloud_that_cannot_be_used_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is in no file, and a wrong password, without the password."""
    async with Simulator() as simulator:
        write_cloud(home, monkeypatch, simulator, password="wrong-password")
        with pytest.raises(ConfigError, match=r"^cloud 'lab'"):
            await Account.from_cloud("lab")
        with pytest.raises(AuthenticationError, match=r"^cloud 'prod': .*401") as caught:
            await Account.from_cloud("prod", retry=HURRY)
        assert "wrong-password" not in str(caught.value)


class Plain:
    """A credential of a user's own, with the two methods and nothing else."""

    async def sign(self, request: Request, project_id: str) -> dict[str, str]:
        """A token."""
        return {"X-Auth-Token": "t"}

    def invalidate(self, project_id: str, headers: object) -> bool:
        """There is no other."""
        return False


def test_two_methods_are_enough_for_a_credential() -> None:
    """Every trait has a default: certificates are checked, nobody signs in, no key can be locked."""
    auth = Plain()
    traits = Traits.of(auth)
    assert (traits.verify, traits.prepare, traits.one_key, traits.counts_itself) == (True, None, False, False)
    assert (traits.region, traits.endpoint_override, traits.iam_endpoint, traits.files) == (None, None, None, ())
    assert (list(traits.secrets()), traits.counts.take()) == ([], (0, 0, 0))


class Locked(Plain):
    """One whose key is locked after a few refusals. It says that it equals all others, and has no hash."""

    one_key = True

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_accounts_with_the_same_credential_share_its_lock_and_no_others_do() -> None:
    """It is the object that counts, which is kept: another one that is made once it is gone does not take its place."""
    auth = Locked()
    kept = weakref.ref(auth)
    locks = {Traits.of(auth).lock("a", None), Traits.of(auth).lock("b", "https://iam")}
    assert len(locks) == 1
    del auth
    assert kept() is not None
    assert len(locks | {Traits.of(Locked()).lock("a", None)}) == 2
