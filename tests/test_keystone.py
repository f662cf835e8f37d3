"""Tokens from IAM: what clouds.yaml and `OS_*` are taken to mean, and signing in to the simulator with it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.errors import ConfigError
from sdrs_async.keystone import KeystoneAuth
from sdrs_async.models import Request, Verdict
from sdrs_async.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

SECRET = "never-to-be-seen"
# All that a cloud needs; nothing listens there.
COMPLETE = {
    "auth_url": "https://iam.test/v3",
    "username": "ann",
    "password": SECRET,
    "user_domain_name": "OTC1",
}


class Clouds:
    """The files that openstacksdk reads, as this test wants them; JSON is YAML."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def write(self, clouds: Any, kind: str = "config") -> Path:
        """Write clouds.yaml or, as `secure`, its companion with the secrets."""
        path = self.folder / f"{kind}.yaml"
        path.write_text(clouds if isinstance(clouds, str) else json.dumps({"clouds": clouds}), "utf-8")
        self._monkeypatch.setenv(f"OS_CLIENT_{kind.upper()}_FILE", str(path))
        return path

    def auth(self, options: dict[str, Any] | None = None, **settings: Any) -> KeystoneAuth:
        """The credential of a cloud `prod` with these options; those that are `None` are left out."""
        given = {key: value for key, value in (COMPLETE | (options or {})).items() if value is not None}
        self.write({"prod": {"auth": given, **settings}})
        return KeystoneAuth.from_cloud("prod", sign_in_timeout=10)

    def at(self, sim: Simulator, options: dict[str, Any] | None = None, **settings: Any) -> KeystoneAuth:
        """The same for a cloud that is the simulator."""
        env = sim.environment
        account = {
            "auth_url": env["OS_AUTH_URL"],
            "username": env["OS_USERNAME"],
            "password": env["OS_PASSWORD"],
            "user_domain_name": env["OS_USER_DOMAIN_NAME"],
        }
        return self.auth(account | (options or {}), **settings)


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouds:
    """A folder for clouds.yaml and secure.yaml, empty at first."""
    made = Clouds(tmp_path, monkeypatch)
    made.write({})
    return made


def projects_of(sim: Simulator) -> list[str]:
    """The ids of the simulator's projects."""
    return list(dict.fromkeys(project for project, _ in sim.targets))


def sign_ins(sim: Simulator) -> list[int | None]:
    """The status of each sign-in that arrived."""
    return [entry.status for entry in sim.log if entry.route == "create_token"]


async def token(auth: Auth, project_id: str = "") -> str:
    """The token that a request would carry."""
    return (await auth.sign(Request("GET", "https://sdrs.test/v1"), project_id))["X-Auth-Token"]


# ---- signing in -----------------------------------------------------------------------------------------------------


async def test_the_environment_signs_in_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """All `OS_*` variables of the simulator at once, a token among them: the password is used, once per project."""
    async with Simulator(projects=2, groups=1) as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OS_TOKEN", "of-yesterday")
        auth = KeystoneAuth.from_env()
        first, second = projects_of(sim)
        bought = [await token(auth, first), await token(auth, second), await token(auth, first)]
        assert bought[0] == bought[2] != bought[1]
        assert sign_ins(sim) == [201] * 3  # the account itself, and two projects
        assert 86_000 < await auth.prepare(first) <= 86_400 - 120
        headers = {"X-Auth-Token": await token(auth)}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(auth.projects_url) as answer:
            assert answer.status == 200
        assert auth.region == "eu-de"


async def test_a_token_is_for_one_project(clouds: Clouds) -> None:
    """Whatever scope is configured, a project's token is that project's; the account's own has the configured one."""
    async with Simulator(projects=3, groups=1) as sim:
        domain = sim.environment["OS_PROJECT_DOMAIN_NAME"]
        auth = clouds.at(sim, {"project_name": "eu-de", "project_domain_name": domain})
        first, _, third = projects_of(sim)
        assert await auth.endpoint() == f"{sim.url}/v1/{first}"
        assert await auth.endpoint(third) == f"{sim.url}/v1/{third}"


async def test_a_project_of_others_is_refused_for_itself_alone(clouds: Clouds) -> None:
    """The account is proven first, so a refusal is the project's; the next project signs in."""
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim)
        with pytest.raises(SignInFailed, match=f"no token for project {'0' * 32}: 401 ") as caught:
            await auth.prepare("0" * 32)
        assert (caught.value.reply.verdict, caught.value.reply.whole_account) == (Verdict.UNAUTHORIZED, False)
        assert await token(auth, projects_of(sim)[0])
        assert sign_ins(sim) == [201, 401, 201]


async def test_a_wrong_password_is_tried_once(clouds: Clouds) -> None:
    """Accounts lock: the first refusal stops the whole account, and is raised again without asking."""
    async with Simulator(projects=2, groups=1) as sim:
        auth = clouds.at(sim, {"password": "wrong-password"})
        for project_id in (*projects_of(sim), ""):
            with pytest.raises(SignInFailed, match=r"password or key is wrong\. It is not tried again") as caught:
                await token(auth, project_id)
            assert caught.value.reply.whole_account
            assert "cloud 'prod'" in str(caught.value)
        assert sign_ins(sim) == [401]


async def test_a_configured_project_that_is_refused_may_be_the_cause(clouds: Clouds) -> None:
    """IAM answers alike to a wrong password and to a project of others, so the message names both."""
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim, {"project_id": "0" * 32})
        with pytest.raises(
            SignInFailed, match=r"password or key is wrong, or the user has no access to .* project_id '0000"
        ):
            await auth.prepare(projects_of(sim)[0])


async def test_no_secret_is_written(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at debug, after sign-ins that worked and that did not."""
    caplog.set_level(logging.DEBUG)
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim)
        seen = [await token(auth), await token(auth, projects_of(sim)[0]), sim.environment["OS_PASSWORD"]]
        wrong = clouds.at(sim, {"password": SECRET})
        with pytest.raises(SignInFailed) as caught:
            await wrong.prepare("")
    assert "Making authentication request to" in caplog.text  # keystoneauth's own did speak
    written = f"{caplog.text}{auth}{auth!r}{vars(auth)}{caught.value!r}"
    assert [secret for secret in (*seen, SECRET) if secret in written] == []
    assert repr(auth) == "KeystoneAuth(cloud 'prod')"


# ---- what is configured ---------------------------------------------------------------------------------------------


def test_secrets_may_stand_in_their_own_file(clouds: Clouds) -> None:
    """secure.yaml is laid over clouds.yaml."""
    clouds.write({"prod": {"auth": {key: value for key, value in COMPLETE.items() if key != "password"}}})
    with pytest.raises(ConfigError, match="cloud 'prod': password missing"):
        KeystoneAuth.from_cloud("prod")
    clouds.write({"prod": {"auth": {"password": SECRET}}}, "secure")
    assert KeystoneAuth.from_cloud("prod").iam_endpoint == "https://iam.test/v3"


@pytest.mark.parametrize(("region", "host"), [(None, "iam.eu-de"), ("eu-de", "iam.eu-de"), ("eu-nl", "iam.eu-nl")])
def test_a_vendor_profile_fills_in(clouds: Clouds, region: str | None, host: str) -> None:
    """Profile `otc` knows the address of each of its regions."""
    clouds.write({"otc": {"profile": "otc", "auth": {key: COMPLETE[key] for key in COMPLETE if key != "auth_url"}}})
    auth = KeystoneAuth.from_cloud("otc", region=region)
    assert auth.iam_endpoint == f"https://{host}.otc.t-systems.com/v3"
    assert auth.projects_url == f"https://{host}.otc.t-systems.com/v3/auth/projects"
    assert auth.region == host.removeprefix("iam.")


@pytest.mark.parametrize(
    "url", ["https://iam.test", "https://iam.test/", "https://iam.test/v3", "https://iam.test/v3/"]
)
def test_the_version_may_be_left_out(clouds: Clouds, url: str) -> None:
    """The list of projects is at the same place however the address is spelled."""
    assert clouds.auth({"auth_url": url}).projects_url == "https://iam.test/v3/auth/projects"


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"auth_url": None}, {}, "were not given: auth_url"),
        ({"password": None}, {}, r"password missing \(sign-in method v3password\)"),
        ({"username": None, "password": None}, {}, "username or user_id, password missing"),
        ({"user_domain_name": None}, {}, "must also provide either a user_domain_id or user_domain_name"),
        ({"project_name": "eu-de"}, {}, "must also provide either a project_domain_id or project_domain_name"),
        ({"token": "t"}, {"auth_type": "v3oidcaccesstoken"}, "were not given: .*access.token"),
        ({}, {"auth_type": "v9"}, "v9"),
        ({}, {"auth_type": "none"}, "gets no token from IAM"),
        ({}, {"auth_type": "http_basic", "endpoint": "https://iam.test"}, "gets no token from IAM"),
        ({"auth_url": "http://iam.test/v3"}, {}, "auth_url: endpoint 'http://iam.test/v3' would send .* unencrypted"),
        ({"auth_url": "iam.test/v3"}, {}, "auth_url: endpoint 'iam.test/v3' is not a URL"),
        ({"auth_url": f"https://ann:{SECRET}@iam.test/v3"}, {}, "no user, query or fragment"),
        ({"auth_url": f"https://{{{SECRET}}}.test/v3"}, {}, "has not the shape that openstacksdk expects"),
        ({}, {"cacert": "/no/such.pem"}, "the CA file '/no/such.pem' cannot be used, which cacert names: No such"),
        ({}, {"region_name": "eu-de", "regions": ["eu-nl", {"values": {}}]}, "Invalid region entry"),
    ],
)
def test_what_is_missing_is_named(
    clouds: Clouds, options: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    """A `ConfigError` with the cloud and the cause, never a secret, before anything is sent."""
    with pytest.raises(ConfigError, match=message) as caught:
        clouds.auth(options, **settings)
    assert "cloud 'prod'" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_unknown_cloud_or_region_is_named_with_those_there_are(clouds: Clouds) -> None:
    """Who mistypes a name sees the right ones."""
    path = clouds.write({"prod": {"auth": COMPLETE, "region_name": "eu-de"}, "test": {"auth": COMPLETE}})
    with pytest.raises(ConfigError) as caught:
        KeystoneAuth.from_cloud("prd")
    assert str(caught.value) == f"cloud 'prd' is not in {path}, which has 'prod', 'test'"
    with pytest.raises(ConfigError, match=r"cloud 'prod': Region eu-nl is not a valid .* choices are eu-de"):
        KeystoneAuth.from_cloud("prod", region="eu-nl")


def test_without_any_file_the_places_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to read from at all."""
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
    with pytest.raises(ConfigError, match=r"cloud 'prod' is not in any clouds\.yaml: none was found in this directory"):
        KeystoneAuth.from_cloud("prod")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"clouds:\n  prod:\n    auth:\n      password: *{SECRET}\n", "line 4: this is not valid YAML"),
        (f"clouds: {{prod: {{auth: {SECRET}}}}}", "has not the shape"),
        (f"clouds: {SECRET}", "has not the shape|is not in"),
        ("clouds:", "has not the shape|is not in"),
        ("[]", "is not in|not a valid mapping"),
    ],
)
def test_a_broken_file_is_an_error_that_shows_nothing_of_it(
    clouds: Clouds, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    """The SDK would log pieces of it and go on with the next file."""
    clouds.write(text)
    with pytest.raises(ConfigError, match=message) as caught:
        KeystoneAuth.from_cloud("prod")
    assert SECRET not in caplog.text + str(caught.value)


def test_other_warnings_of_the_sdk_go_on(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    """A file without clouds is its business to tell."""
    path = clouds.write('{"other": {}}')
    with pytest.raises(ConfigError, match="cloud 'prod' is not in"):
        KeystoneAuth.from_cloud("prod")
    assert f"Configuration file {path} does not contain a 'clouds' key" in caplog.text


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """openstacksdk is not a dependency of the core."""
    monkeypatch.setitem(sys.modules, "openstack.config", None)
    with pytest.raises(ConfigError, match=r"pip install 'sdrs-async\[openstack\]'"):
        KeystoneAuth.from_cloud("prod")


def test_an_empty_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, clouds: Clouds) -> None:
    """A cloud of clouds.yaml is not taken just because it is the only one."""
    clouds.write({"prod": {"auth": COMPLETE}})
    for name in (None, "OS_PASSWORD"):
        if name:
            monkeypatch.setenv(name, SECRET)
        with pytest.raises(ConfigError, match="OS_AUTH_URL is not set, and neither is OS_CLOUD"):
            KeystoneAuth.from_env()


def test_the_environment_may_name_a_cloud(monkeypatch: pytest.MonkeyPatch, clouds: Clouds) -> None:
    """`OS_CLOUD` wins, as with other clients."""
    clouds.write({"prod": {"auth": COMPLETE}})
    monkeypatch.setenv("OS_CLOUD", "prod")
    monkeypatch.setenv("OS_AUTH_URL", "https://other.test")
    assert repr(KeystoneAuth.from_env()) == "KeystoneAuth(cloud 'prod')"


@pytest.mark.parametrize("family", ["OS_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"])
def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch, family: str, tmp_path: Path) -> None:
    """However the domain is spelled; a region that is given wins; braces in a password are its own."""
    monkeypatch.setenv("OS_AUTH_URL", "https://iam.test/v3")
    monkeypatch.setenv("OS_REGION_NAME", "eu-de")
    monkeypatch.setenv("OS_USERNAME", "ann")
    monkeypatch.setenv("OS_PASSWORD", "{region_name}{")
    monkeypatch.setenv(family, "OTC1")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("OS_CACERT", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("OS_SDRS_ENDPOINT_OVERRIDE", "https://sdrs.test")
    auth = KeystoneAuth.from_env(region="eu-nl")
    assert (auth.region, auth.verify) == ("eu-nl", str(tmp_path / "ca.pem"))


async def test_an_override_asks_nobody(clouds: Clouds) -> None:
    """`sdrs_endpoint_override` is the endpoint of every project; nothing listens at this IAM."""
    auth = clouds.auth({}, sdrs_endpoint_override="https://sdrs.test")
    assert await auth.endpoint() == await auth.endpoint("p1") == "https://sdrs.test"


@pytest.mark.parametrize(
    ("settings", "found"), [({}, True), ({"region_name": "eu-nl"}, False), ({"interface": "internal"}, False)]
)
async def test_the_catalog_is_read_for_region_and_interface(
    clouds: Clouds, settings: dict[str, str], found: bool
) -> None:
    """The catalog may name none for these: that is no failure."""
    async with Simulator(projects=1, groups=1) as sim:
        project = projects_of(sim)[0]
        auth = clouds.at(sim, {}, **settings)
        assert await auth.endpoint(project) == (f"{sim.url}/v1/{project}" if found else None)
        assert await auth.endpoint() is None  # an unscoped token has no catalog
