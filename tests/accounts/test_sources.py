"""Which half of a run each credential reaches: the table of docs/settings.md, each cell as the server sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from sdrs_async.cloud.sites import check_endpoint, without_project
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import Cloud
from sdrs_async.credentials.keystone.tokens import Token
from sdrs_async.simulator import Simulator
from sdrs_async.simulator.keys import Keys
from sdrs_async.simulator.log import Entry
from sdrs_async.simulator.signature import Claim, SignedRequest
from tests.support.command import run, texts

SETTINGS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
KEY, TEMPORARY = "signature", "signature, security token"
GIVEN, SIGNED_IN, OF_IAM = "given token", "sign-in, token of IAM", "token of IAM"


class Place(NamedTuple):
    """Where a case writes its files, and the server that it is for."""

    folder: Path
    simulator: Simulator

    def file(self, name: str, text: str) -> str:
        """The path of a file with this text."""
        (self.folder / name).write_text(text, "utf-8")
        return str(self.folder / name)


class Case(NamedTuple):
    """Flags and variables that hold one credential."""

    flags: list[str]
    environ: dict[str, str]


Make = Callable[[Place], Case]


# ---- one credential each


def in_cloud(*flags: str, password: bool = False, environ: dict[str, str] | None = None, **settings: str) -> Make:
    """A cloud of clouds.yaml; of `settings` those of `auth` begin with `auth_`."""

    def make(place: Place) -> Case:
        env = place.simulator.environment
        auth = {"auth_url": env["OS_AUTH_URL"]}
        if password:
            domain = env["OS_USER_DOMAIN_NAME"]
            auth |= {"username": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "user_domain_name": domain}
        known = known_to(place.simulator)
        auth |= {key[5:]: value.format(**known) for key, value in settings.items() if key.startswith("auth_")}
        top = {key: value.format(**known) for key, value in settings.items() if not key.startswith("auth_")}
        top |= {"region_name": "eu-de", "sdrs_endpoint_override": f"{place.simulator.url}/v1/%(project_id)s"}
        if "token" in auth:
            top["auth_type"] = "token"
        lines = [*(f"    {key}: '{value}'" for key, value in top.items()), "    auth:"]
        lines += [f"      {key}: '{value}'" for key, value in auth.items()]
        path = place.file("clouds.yaml", "\n".join(["clouds:", "  prod:", *lines]) + "\n")
        return Case(list(flags), {**(environ or {}), "OS_CLIENT_CONFIG_FILE": path})

    return make


def in_variables(*flags: str, **environ: str) -> Make:
    """Variables of the environment."""

    def make(place: Place) -> Case:
        known = known_to(place.simulator)
        values = {name: value.format(**known) for name, value in environ.items()}
        return Case(["--endpoint", f"{place.simulator.url}/v1/$(tenant_id)s", "--region", "eu-de", *flags], values)

    return make


def in_file(variable: str | None) -> Make:
    """The vendor's credentials file, in the user's home or where a variable says."""

    def make(place: Place) -> Case:
        text = profile_of(place.simulator)
        if variable is not None:
            return in_variables(**{variable: place.file("keys", text)})(place)
        (place.folder / ".huaweicloud").mkdir()
        place.file(".huaweicloud/credentials", text)
        return in_variables(HOME=str(place.folder))(place)

    return make


def in_fleet(credential: str, environ: Mapping[str, str] = {}, cloud: Make | None = None) -> Make:
    """An account of a fleet file."""

    def make(place: Place) -> Case:
        known = known_to(place.simulator)
        place.file("keys", profile_of(place.simulator))
        url = place.simulator.url
        lines = [
            "[accounts.a]", f"credential = {credential}", f'endpoint = "{url}/v1/%(tenant_id)s"',
            f'iam_endpoint = "{url}/v3"', 'projects = "all"',
        ]  # fmt: skip
        more = cloud(place).environ if cloud else {}
        path = place.file("fleet.toml", "\n".join(lines))
        return Case(["--fleet", path], {**more, **{name: value.format(**known) for name, value in environ.items()}})

    return make


def known_to(simulator: Simulator) -> dict[str, str]:
    """Everything that somebody can have, for the templates of the cases."""
    env, temporary = simulator.environment, simulator.temporary_key
    return {
        "ak": env["HUAWEICLOUD_SDK_AK"], "sk": env["HUAWEICLOUD_SDK_SK"],
        "token": simulator.token, "url": simulator.url,
        "tak": temporary.access_key, "tsk": temporary.secret_key, "tt": temporary.security_token or "",
        "user": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": env["OS_USER_DOMAIN_NAME"],
    }  # fmt: skip


def profile_of(simulator: Simulator) -> str:
    """The text of a credentials file."""
    return "[basic]\nak = {ak}\nsk = {sk}\niam_endpoint = {url}\n".format(**known_to(simulator))


PROD = ("--os-cloud", "prod")
SDK = {"HUAWEICLOUD_SDK_AK": "{ak}", "HUAWEICLOUD_SDK_SK": "{sk}", "HUAWEICLOUD_SDK_IAM_ENDPOINT": "{url}"}
SDK_TEMPORARY = SDK | {
    "HUAWEICLOUD_SDK_AK": "{tak}", "HUAWEICLOUD_SDK_SK": "{tsk}", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "{tt}"
}  # fmt: skip
OTC = {"OS_ACCESS_KEY": "{ak}", "OS_SECRET_KEY": "{sk}", "OS_AUTH_URL": "{url}/v3"}
OTC_TEMPORARY = OTC | {"OS_ACCESS_KEY": "{tak}", "OS_SECRET_KEY": "{tsk}", "OS_SECURITY_TOKEN": "{tt}"}
HW = {"HW_ACCESS_KEY": "{ak}", "HW_SECRET_KEY": "{sk}", "HW_AUTH_URL": "{url}/v3"}
HW_TEMPORARY = HW | {"HW_ACCESS_KEY": "{tak}", "HW_SECRET_KEY": "{tsk}", "HW_SECURITY_TOKEN": "{tt}"}
TOKEN = {"OS_TOKEN": "{token}", "OS_AUTH_URL": "{url}/v3"}
USER = {
    "OS_AUTH_URL": "{url}/v3", "OS_USERNAME": "{user}", "OS_PASSWORD": "{password}", "OS_USER_DOMAIN_NAME": "{domain}"
}  # fmt: skip
AK_SK = '{ ak_sk = { access_key_env = "A", secret_key_env = "S" } }'
AK_SK_TEMPORARY = '{ ak_sk = { access_key_env = "A", secret_key_env = "S", security_token_env = "T" } }'
ROWS: dict[str, tuple[Make, str, str]] = {
    "`--os-cloud NAME`: a cloud with a password, or another way to sign in": (
        in_cloud(*PROD, password=True), SIGNED_IN, OF_IAM,
    ),
    "`OS_CLOUD`": (in_cloud(password=True, environ={"OS_CLOUD": "prod"}), SIGNED_IN, OF_IAM),
    "a cloud with `token`": (in_cloud(*PROD, auth_token="{token}"), SIGNED_IN, OF_IAM),
    "a cloud with `ak`, `sk` (at its top or in `auth`) and nothing else to sign in with": (
        in_cloud(*PROD, ak="{ak}", auth_sk="{sk}"), KEY, KEY,
    ),
    "a cloud with `access_key`, `secret_key`, `security_token`": (
        in_cloud(*PROD, auth_access_key="{tak}", secret_key="{tsk}", auth_security_token="{tt}"),
        TEMPORARY, TEMPORARY,
    ),
    "a cloud with a password and `ak`, `sk`: the sign-in goes first": (
        in_cloud(*PROD, password=True, ak="{ak}", sk="{sk}"), SIGNED_IN, OF_IAM,
    ),
    "the same with `--credential ak-sk --os-cloud NAME`": (
        in_cloud(*PROD, "--credential", "ak-sk", password=True, ak="{ak}", sk="{sk}"), KEY, KEY,
    ),
    "`OS_TOKEN`": (in_variables(**TOKEN), GIVEN, GIVEN),
    "`OS_AUTH_TOKEN`": (
        in_variables(**{"OS_AUTH_TOKEN": "{token}", "OS_AUTH_URL": "{url}/v3"}), GIVEN, GIVEN,
    ),
    "`HUAWEICLOUD_SDK_AK`, `HUAWEICLOUD_SDK_SK`": (in_variables(**SDK), KEY, KEY),
    "with `HUAWEICLOUD_SDK_SECURITY_TOKEN`": (in_variables(**SDK_TEMPORARY), TEMPORARY, TEMPORARY),
    "`OS_ACCESS_KEY`, `OS_SECRET_KEY`": (in_variables(**OTC), KEY, KEY),
    "with `OS_SECURITY_TOKEN`": (in_variables(**OTC_TEMPORARY), TEMPORARY, TEMPORARY),
    "`HW_ACCESS_KEY`, `HW_SECRET_KEY`": (in_variables(**HW), KEY, KEY),
    "with `HW_SECURITY_TOKEN`": (in_variables(**HW_TEMPORARY), TEMPORARY, TEMPORARY),
    "any of these keys with `--signature credential`": (in_variables("--signature", "credential", **HW), KEY, KEY),
    "`OS_USERNAME`, `OS_PASSWORD` with `OS_AUTH_URL`": (in_variables(**USER), SIGNED_IN, OF_IAM),
    "`~/.huaweicloud/credentials`": (in_file(None), KEY, KEY),
    "`HUAWEICLOUD_SDK_CREDENTIALS_FILE`": (in_file("HUAWEICLOUD_SDK_CREDENTIALS_FILE"), KEY, KEY),
    "`--credential huawei`: what the vendor's SDK finds": (in_variables("--credential", "huawei", **SDK), KEY, KEY),
    "fleet: `os_cloud`": (in_fleet('{ os_cloud = "prod" }', cloud=in_cloud(password=True)), SIGNED_IN, OF_IAM),
    "fleet: `token_env`": (in_fleet('{ token_env = "T_O" }', {"T_O": "{token}"}), GIVEN, GIVEN),
    "fleet: `ak_sk`": (in_fleet(AK_SK, {"A": "{ak}", "S": "{sk}"}), KEY, KEY),
    "fleet: `ak_sk` with `security_token_env`": (
        in_fleet(AK_SK_TEMPORARY, {"A": "{tak}", "S": "{tsk}", "T": "{tt}"}), TEMPORARY, TEMPORARY,
    ),
    "fleet: `huawei_profile`": (in_fleet('{ huawei_profile = "keys" }'), KEY, KEY),
    'fleet: `huawei = "chain"`': (in_fleet('{ huawei = "chain" }', SDK), KEY, KEY),
}  # fmt: skip


# ---- the table, and what the server sees


def section(title: str) -> list[list[str]]:
    """The cells of the table in a section of the page, without its head."""
    text = SETTINGS.read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_the_table_and_the_tests_have_the_same_rows() -> None:
    """What the page says of a credential is what the next test holds the command to, and the other way round."""
    assert section("Credentials") == [[row, iam, service] for row, (_, iam, service) in ROWS.items()]


def carried(simulator: Simulator, entries: Iterable[Entry]) -> str:
    """With which credentials these requests came, in the words of the page."""
    named = {simulator.environment["HUAWEICLOUD_SDK_AK"]: KEY, simulator.temporary_key.access_key: TEMPORARY}
    kinds = {named.get(entry.credential or "", entry.credential) for entry in entries if entry.route != "create_token"}
    given = {GIVEN if kind == "token 0" else OF_IAM if str(kind).startswith("token ") else str(kind) for kind in kinds}
    signed_in = any(entry.route == "create_token" for entry in entries)
    return ", ".join(([SIGNED_IN.partition(",")[0]] if signed_in else []) + sorted(given))


@pytest.mark.parametrize("row", ROWS)
async def test_a_credential_reaches_both_halves(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of a plan of all projects carries the credential that the page says, and is let in."""
    make, iam, service = ROWS[row]
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Simulator(projects=2, groups=2) as simulator:
        flags, environ = make(Place(tmp_path, simulator))
        chosen = [] if "--fleet" in flags else ["--all-projects"]
        done = await run("plan", *chosen, *flags, environ=environ)
        assert (done.code, "4 protection groups in 2 projects" in done.stdout) == (0, True), done.stderr
        at_iam = [entry for entry in simulator.log if entry.route in ("create_token", "list_own_projects")]
        at_service = [entry for entry in simulator.log if entry not in at_iam]
        assert {entry.route for entry in at_service} == {"list_groups"}
        assert (carried(simulator, at_iam), carried(simulator, at_service)) == (iam, service)
        assert {entry.status for entry in simulator.log} <= {200, 201}


# ---- what is shown of a key, and placeholders


@pytest.mark.parametrize(
    ("command", "form"), [("clean", "access"), ("clean", "credential"), ("plan", "access"), ("doctor", "access")]
)
async def test_a_key_that_a_refusal_echoes_is_shown_as_four_letters(
    command: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Access=...` in the gateway's 0301 is in no output and no file in full, at the fullest log; nor a half of it."""

    def refusal(self: Keys, request: SignedRequest, claim: Claim) -> str:
        return f"verify ak sk signature fail, Access={claim.access_key}, the key '{claim.access_key}'"

    monkeypatch.setattr(Keys, "refusal", refusal)
    async with Simulator(projects=1, groups=2) as simulator:
        key = simulator.environment["HUAWEICLOUD_SDK_AK"]
        flags, environ = in_variables(**SDK)(Place(tmp_path, simulator))
        files = [] if command == "doctor" else ["--json", str(tmp_path / "json")]
        if command == "clean":
            files += ["--yes", "--results", str(tmp_path / "results"), "--html", str(tmp_path / "page")]
        chosen = [] if command == "doctor" else ["--project", simulator.targets[0][0]]
        done = await run(command, *chosen, *flags, *files, "--signature", form, "--log-level", "debug", environ=environ)
        assert simulator.log
    assert done.code in (1, 3)
    written = "".join([done.stdout, done.stderr, *texts(tmp_path).values()])
    assert f"Access={key[:4]}***" in written.replace("&#39;", "'")
    assert not any(key[at : at + 9] in written for at in range(len(key) - 8))


async def test_the_limits_of_a_key_are_under_four_letters_of_it(tmp_path: Path) -> None:
    """`limits.learned` names the account, which is called after its key."""
    async with Simulator(projects=1, groups=5, user_rate="4/1s") as simulator:
        key = simulator.environment["HUAWEICLOUD_SDK_AK"]
        flags, environ = in_variables(**SDK)(Place(tmp_path, simulator))
        files = ["--json", str(tmp_path / "json"), "--html", str(tmp_path / "page")]
        done = await run("clean", "--all-projects", "--yes", *flags, *files, environ=environ)
    assert done.code == 0, done.stderr
    document = json.loads((tmp_path / "json").read_text("utf-8"))
    assert {one["account"] for one in document["limits"]["learned"]} == {f"access key {key[:4]}..."}
    assert key[:5] not in "".join([done.stdout, done.stderr, *texts(tmp_path).values()])


@pytest.mark.parametrize("project_id", ["p-1", "0123456789abcdef0123456789abcdef", "Team A"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_the_project_of_the_token_is_cut_off_the_catalogs_url(project_id: str, end: str) -> None:
    """Whatever form its id has; another id is left where it stands."""
    cloud = Cloud("c", "v3password", {"auth_url": "https://iam.test/v3"})

    def sign_in(asked: str, base: Token | None) -> Token:
        return Token({"X-Auth-Token": "t"}, 60.0, project_id, f"https://sdrs.test/v1/{project_id}{end}")

    auth = KeystoneAuth(cloud, sign_in=sign_in)
    assert check_endpoint(await auth.endpoint() or "") == "https://sdrs.test"
    assert without_project("https://sdrs.test/v1/another", project_id) == "https://sdrs.test/v1/another"
    assert without_project("https://sdrs.test/v1/", None) == "https://sdrs.test/v1/"


@pytest.mark.parametrize("place", ["%(project_id)s", "%(tenant_id)s", "$(project_id)s", "$(tenant_id)s"])
async def test_a_place_for_the_project_is_filled_in(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `sdrs_endpoint_override`, of the file and of the variable, and in a catalog that leaves it to its reader."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"https://sdrs.test/v1/{place}"
    path = tmp_path / "clouds.yaml"
    auth = "{auth_url: 'https://iam.test/v3', username: u, password: p, user_domain_name: d, project_domain_name: d}"
    path.write_text(f"clouds:\n  prod:\n    sdrs_endpoint_override: '{url}'\n    auth: {auth}\n", "utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    for name, value in (
        ("AUTH_URL", "https://iam.test/v3"),
        ("USERNAME", "u"),
        ("PASSWORD", "p"),
        ("DOMAIN_NAME", "d"),
    ):
        monkeypatch.setenv(f"OS_{name}", value)
    monkeypatch.setenv("OS_SDRS_ENDPOINT_OVERRIDE", url)
    cloud = Cloud("c", "v3password", {"auth_url": "https://iam.test/v3"})
    catalog = KeystoneAuth(cloud, sign_in=lambda asked, base: Token({"X-Auth-Token": "t"}, 60.0, "p-1", url))
    for auth_of in (KeystoneAuth.from_cloud("prod"), KeystoneAuth.from_env(), catalog):
        assert check_endpoint(await auth_of.endpoint() or "") == "https://sdrs.test"
