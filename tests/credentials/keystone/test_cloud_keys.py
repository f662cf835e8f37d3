"""An access key in clouds.yaml: when it is used, what it needs, and what is said of one that cannot be."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trustme

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature, choose
from sdrs_async.command.inputs import of_flags, of_fleet
from sdrs_async.credentials.keys import AkSk
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import CloudKey
from sdrs_async.credentials.keystone.settings import Layer
from sdrs_async.credentials.keystone.sources import CloudSource
from sdrs_async.errors import ConfigError
from tests.command.test_inputs_single import FLAGS, KEYS
from tests.credentials.test_keys import SIGNED

OTC = "https://sdrs.eu-de.otc.t-systems.com"
OTC_IAM = "https://iam.eu-de.otc.t-systems.com"
PAIR = "ak: ABCDEFGHIJKLMNOPQRST\nsk: the-secret"
OF_OTC = "profile: otc\nregion_name: eu-de\n"
SIGN_IN = "auth: {username: ann, password: a-password, user_domain_name: d, project_name: eu-de}\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing but what a test writes."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return tmp_path


def write(place: Path, settings: str, file: str = "clouds.yaml") -> None:
    """A cloud `prod` with these settings, a line each."""
    lines = [f"    {line}" for line in settings.splitlines()]
    (place / file).write_text("\n".join(["clouds:", "  prod:", *lines]) + "\n", "utf-8")


def account(environ: Mapping[str, str] = {}, **flags: Any) -> Account:
    """The account that `--os-cloud prod` comes to without the network."""
    with patch.dict(os.environ, environ):
        (pending,) = of_flags(replace(FLAGS, os_cloud="prod", **flags), environ).pending
    assert pending.endpoint is not None
    return pending.at(pending.endpoint)


async def signs_as(account: Account) -> tuple[str, str | None]:
    """The key that it signs with, and its security token."""
    headers = await account.auth.sign(SIGNED, "")
    return headers["Authorization"].split("Access=")[1].split(",")[0], headers.get("X-Security-Token")


WRITTEN = [
    PAIR,
    "access_key: ABCDEFGHIJKLMNOPQRST\nsecret_key: the-secret",
    "access-key: ABCDEFGHIJKLMNOPQRST\nsecret-key: the-secret",
    "auth: {ak: ABCDEFGHIJKLMNOPQRST, sk: the-secret}",
    "auth: {access_key: ABCDEFGHIJKLMNOPQRST, secret_key: 'the{secret'}",
    f"{PAIR}\naccess_key: another",
    f"{PAIR}\nauth: {{project_name: eu-de, user_domain_name: d, username: '', password: ''}}",
    f"{PAIR}\nauth: {{project_name: eu-de, username: ann}}",
    f"{PAIR}\nauth_type: aksk",
    f"{PAIR.replace('the-secret', 'the{secret}')}",
]


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_key_is_found_however_it_is_written(place: Path, written: str) -> None:
    """Under either name, at the top or in `auth`; what is empty, or proves nobody, is no sign-in."""
    write(place, f"{OF_OTC}{written}")
    found = account()
    assert (found.name, found.endpoint, found.iam_endpoint, found.region) == ("cloud prod", OTC, OTC_IAM, "eu-de")
    assert await signs_as(found) == ("ABCDEFGHIJKLMNOPQRST", None)
    source, others = choose(Asked(os_cloud="prod"), {})
    assert (source.name, source.kind, others) == ("cloud prod", "access key of clouds.yaml", [])


async def test_a_key_brings_what_its_cloud_says(place: Path) -> None:
    """Endpoint, IAM, region, certificates and the security token; flags go before it."""
    trustme.CA().cert_pem.write_to_path(str(place / "ca.pem"))
    write(
        place,
        f"auth: {{auth_url: 'https://iam.x.example.com/v3'}}\nregion_name: my-1\ncacert: {place / 'ca.pem'}\n"
        f"sdrs_endpoint_override: https://sdrs.x.example.com/v1/%(project_id)s\nsecurity_token: temporary\n{PAIR}",
    )
    found = account()
    assert (found.endpoint, found.iam_endpoint, found.region) == (
        "https://sdrs.x.example.com", "https://iam.x.example.com", "my-1"
    )  # fmt: skip
    assert await signs_as(found) == ("ABCDEFGHIJKLMNOPQRST", "temporary")
    assert isinstance(found.auth, CloudKey)
    assert found.auth.verify == str(place / "ca.pem")
    given = account(endpoint="https://other.example.com", iam_endpoint=f"{OTC_IAM}/v3")
    assert (given.endpoint, given.iam_endpoint) == ("https://other.example.com", OTC_IAM)
    headers = await account(signature=Signature.CREDENTIAL).auth.sign(SIGNED, "")
    assert "/my-1/sdrs/sdk_request" in headers["Authorization"]
    write(place, f"{OF_OTC}verify: false\n{PAIR}")
    assert getattr(account().auth, "verify", None) is False


def test_an_auth_url_may_lack_its_scheme(place: Path) -> None:
    """As the profile of the Swiss cloud does, whose host of the service nobody knows."""
    write(place, f"profile: otc-swiss\n{PAIR}")
    with pytest.raises(ConfigError, match="service in eu-ch2 is not known: give it with --endpoint"):
        account()
    found = account(endpoint="https://sdrs.example.com")
    assert (found.iam_endpoint, found.region) == ("https://iam-pub.eu-ch2.sc.otc.t-systems.com", "eu-ch2")


async def test_a_sign_in_goes_before_the_key(place: Path) -> None:
    """The note names the key that is not used; `--credential ak-sk` chooses it, also for `OS_CLOUD`."""
    write(place, f"{OF_OTC}{SIGN_IN}{PAIR}")
    source, others = choose(Asked(os_cloud="prod"), KEYS)
    assert (source.name, source.kind) == ("cloud prod", "sign-in of clouds.yaml")
    assert others == ["access key ABCD...", "access key ABCD... of cloud prod"]
    chosen = account(KEYS, credential=CredentialKind.AK_SK)
    assert (chosen.name, chosen.endpoint, chosen.iam_endpoint) == ("access key ABCD... of cloud prod", OTC, OTC_IAM)
    assert await signs_as(chosen) == ("ABCDEFGHIJKLMNOPQRST", None)
    assert (
        choose(Asked(credential=CredentialKind.AK_SK), {"OS_CLOUD": "prod"})[0].name
        == "access key ABCD... of cloud prod"
    )
    assert choose(Asked(credential=CredentialKind.AK_SK), {**KEYS, "OS_CLOUD": "prod"})[0].name == "access key ABCD..."


@pytest.mark.parametrize(
    "sign_in",
    [
        SIGN_IN,
        "auth_type: v3applicationcredential\nauth: {application_credential_id: i, application_credential_secret: s}\n",
        "auth_type: token\nauth: {token: t}\n",
        "auth: {auth_token: t}\n",
        "auth: {application_credential_id: i, application_credential_secret: s}\n",
        "password: a-password\nusername: ann\n",
        "auth_type: v3oidcpassword\n",
    ],
)
def test_whatever_signs_in_goes_before_the_key(place: Path, sign_in: str) -> None:
    """A password, an application credential, a token, a federation."""
    write(place, f"{OF_OTC}{sign_in}{PAIR}")
    assert choose(Asked(os_cloud="prod"), {})[0].kind == "sign-in of clouds.yaml"


def test_a_password_of_the_environment_signs_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user in the file whose password is in `OS_PASSWORD` is a sign-in."""
    write(place, f"{OF_OTC}auth: {{username: ann}}\n{PAIR}")
    for nothing in ("", " "):
        monkeypatch.setenv("OS_PASSWORD", nothing)
        assert choose(Asked(os_cloud="prod"), {})[0].kind == "access key of clouds.yaml"
    monkeypatch.setenv("OS_PASSWORD", "a-password")
    assert choose(Asked(os_cloud="prod"), {})[0].kind == "sign-in of clouds.yaml"


def test_the_secret_may_stand_in_secure_yaml(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As passwords may."""
    write(place, f"{OF_OTC}ak: ABCDEFGHIJKLMNOPQRST")
    write(place, "sk: the-secret", "secure.yaml")
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(place / "secure.yaml"))
    assert account().endpoint == OTC


BAD = [
    (f"{OF_OTC}ak: ABCD", "sk is missing, though ak is there"),
    (f"{OF_OTC}secret_key: the-secret", "ak is missing, though secret_key is there"),
    (f"{OF_OTC}ak: ABCD\nsk: 01234567", r"clouds\.prod\.sk in .*/clouds\.yaml, line 6 is read as a number.*in quotes"),
    (f"{OF_OTC}auth: {{ak: 12:34:56, sk: the-secret}}", r"clouds\.prod\.auth\.ak in .*, line 5 is read as a number"),
    (f"{OF_OTC}ak: ABCD\nsk: 2024-01-01", r"clouds\.prod\.sk in .* is read as a date"),
    (f"{OF_OTC}ak: ABCD\nsk: 1e3.5\nsecurity_token: 1.50", r"security_token in .*, line 7 is read as a number"),
    (f"{OF_OTC}ak: ABCD\nsk: yes", "sk in .* is read as true or false"),
    (f'{OF_OTC}ak: ABCD\nsk: "the-secret\\r"', r"sk in .*, line 6 ends in a carriage return: .* Windows line ends"),
    (f'{OF_OTC}ak: ABCD\nsk: "the secret"', "its secret key is empty or holds characters"),
    (f"{OF_OTC}{PAIR}\ncacert: [1]", "the configuration has not the shape"),
    (f"profile: vexxhost\nregion_name: eu-de\n{PAIR}", r"profile 'vexxhost' \(.*line 3\) .* fetched .* is not done"),
    (f"region_name: eu-west-0\n{PAIR}", "region eu-west-0 is one of Orange Flexible Engine.*--endpoint"),
    (f"auth: {{auth_url: 'https://iam.x.example.com/v3'}}\nregion_name: eu-de\n{PAIR}", "not the IAM of region eu-de"),
    (f"auth: {{auth_url: 'http://iam.x.example.com/v3'}}\nsdrs_endpoint_override: {OTC}\n{PAIR}", "unencrypted"),
    (f"{OF_OTC}sdrs_endpoint_override: 'https://sdrs.%(region_name)s.x/v1'\n{PAIR}", "the project id alone is filled"),
    (PAIR, "neither an endpoint nor a region is known"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_a_key_that_cannot_be_used_is_said_with_its_place(place: Path, settings: str, message: str) -> None:
    """A half, what YAML took for a number, a line break, a host of another cloud: an error that shows no secret."""
    write(place, settings)
    with pytest.raises(ConfigError, match=message) as caught:
        account()
    assert "cloud prod" in str(caught.value).replace("'", "")
    assert not any(secret in str(caught.value) for secret in ("the-secret", "342391", "01234567"))


@pytest.mark.parametrize("settings", [f"{OF_OTC}{PAIR}", f"{OF_OTC}{SIGN_IN}{PAIR}"])
def test_the_file_of_a_cloud_may_be_a_pipe(place: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    """As a shell makes one of `<(sops -d clouds.yaml)`: the command reads it once, by flag and by `OS_CLOUD`."""
    write(place, settings)
    text = (place / "clouds.yaml").read_text("utf-8")
    os.mkfifo(place / "pipe")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(place / "pipe"))
    for name, environ in (("prod", {}), (None, {"OS_CLOUD": "prod"})):
        writer = threading.Thread(target=(place / "pipe").write_text, args=(text,))
        writer.start()
        try:
            (pending,) = of_flags(replace(FLAGS, os_cloud=name), environ).pending
        finally:
            writer.join()
        assert pending.region == "eu-de"


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="a shell makes nothing of <(...) here")
def test_a_pipe_of_the_shell_holds_all_clouds_of_a_fleet(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OS_CLIENT_CONFIG_FILE=<(...)`: it is empty once it was read, and two accounts are in it."""
    text = '[accounts.{0}]\ncredential = {{ os_cloud = "prod" }}\nprojects = "all"\n'
    (place / "fleet.toml").write_text(text.format("a") + text.format("b"), "utf-8")
    write(place, f"{OF_OTC}{SIGN_IN}")
    out, into = os.pipe()
    try:
        with open(into, "w", encoding="utf-8") as pipe:
            pipe.write((place / "clouds.yaml").read_text("utf-8"))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", f"/dev/fd/{out}")
        connection, _ = of_fleet(str(place / "fleet.toml"), FLAGS, {}, project_level=False)
    finally:
        os.close(out)
    assert [one.region for one in connection.pending] == ["eu-de"] * 2


def test_an_unknown_profile_is_said_once(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However often the cloud is looked at; and nobody sees a warning of Python's."""
    trustme.CA().cert_pem.write_to_path(str(place / "ca.pem"))
    write(place, f"profile: oct\nauth: {{auth_url: '{OTC_IAM}/v3'}}\nregion_name: eu-de\n{PAIR}\nverify: false")
    text = (place / "clouds.yaml").read_text("utf-8")
    (place / "clouds.yaml").write_text(f"{text}    cacert: {place / 'ca.pem'}\n", "utf-8")
    with warnings.catch_warnings(action="error"):
        assert account().endpoint == OTC
    assert [record.getMessage() for record in caplog.records if "profile" in record.getMessage()] == [
        f"cloud 'prod': there is no profile 'oct' (clouds.prod.profile in {place / 'clouds.yaml'}, line 3), "
        "but there is 'otc': it goes without"
    ]


def test_a_cloud_without_a_key_has_none_to_choose(place: Path) -> None:
    """`--credential ak-sk` with a cloud that has a password alone, and with one that is not there."""
    write(place, f"{OF_OTC}{SIGN_IN}")
    with pytest.raises(ConfigError, match="cloud 'prod' has no access key: no ak and sk"):
        account(KEYS, credential=CredentialKind.AK_SK)
    write(place, PAIR.replace("ak:", "x:").replace("sk:", "y:"))
    with pytest.raises(ConfigError, match="cloud 'other' is not in"):
        choose(Asked(credential=CredentialKind.AK_SK, os_cloud="other"), {})


def test_the_library_says_what_to_use(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud with keys alone gets no token: `KeystoneAuth` names the credential that it is."""
    write(place, f"{OF_OTC}{PAIR}")
    with pytest.raises(ConfigError, match=r"cloud 'prod' .* AkSk\(access_key, secret_key\)") as caught:
        KeystoneAuth.from_cloud("prod")
    assert "ABCDEFGH" not in str(caught.value)
    monkeypatch.setenv("OS_CLOUD", "prod")
    with pytest.raises(ConfigError, match="AkSk"):
        KeystoneAuth.from_env()


def test_what_was_read_does_not_show_it() -> None:
    """A traceback with its variables, a debugger, a log: neither key nor token, of neither what holds them."""
    given = {"ak": "ABCDEFGHIJKLMNOPQRST", "sk": "the-secret", "security_token": "a-token"}
    layer = Layer(given, "clouds.yaml", ("clouds", "prod"))
    shown = repr((CloudSource("cloud", "prod", (layer,)).keys, layer))
    assert "WrittenKeys" in shown
    assert not [value for value in given.values() if value in shown]
    assert "clouds.yaml" in shown


def test_a_fleet_takes_the_key_of_a_cloud(place: Path) -> None:
    """As the flag does; and no account of it gets a host by the pattern of another cloud."""
    write(place, f"{OF_OTC}{PAIR}")
    text = '[accounts.a]\ncredential = { os_cloud = "prod" }\nprojects = "all"\n'
    (place / "fleet.toml").write_text(text, "utf-8")
    connection, _ = of_fleet(str(place / "fleet.toml"), FLAGS, {}, project_level=False)
    (one,) = connection.pending
    assert (one.kind, one.endpoint, type(one.auth)) == ("access key of clouds.yaml", OTC, CloudKey)
    assert isinstance(one.auth, AkSk)
    write(place, PAIR)
    for region in ("eu-west-0", "us-east-1", "eu-de-01"):
        (place / "fleet.toml").write_text(f'{text}region = "{region}"\n', "utf-8")
        with pytest.raises(
            ConfigError, match=rf"^account a: region {region} is .*--endpoint \(in a fleet file: endpoint\)"
        ):
            of_fleet(str(place / "fleet.toml"), FLAGS, {}, project_level=False)
