"""Fleet files: what they come to, and what is said about one that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.accounts.fleet_file import FleetAccount, FleetFile, missing_environment, parse_fleet, read_fleet
from sdrs_async.accounts.sources import Credential, HuaweiChain, HuaweiProfile, Keys, OsCloud, Token
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fleet.toml"
ID = "0123456789abcdef0123456789abcdef"
OTHER_ID = "fedcba9876543210fedcba9876543210"
SECRET = "gAAAAABtop-secret-value"
ACCOUNT = '[accounts.a]\ncredential = { os_cloud = "a" }\nprojects = "all"\n'


def parse(text: str) -> FleetFile:
    """The fleet of a file that is called fleet.toml."""
    return parse_fleet(text, "fleet.toml")


def only(text: str) -> FleetAccount:
    """The one account of a file."""
    (account,) = parse(text).accounts
    return account


def refused(text: str) -> str:
    """What is said about a file that is wrong."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


# ---- what a file comes to


def test_the_example_shows_a_fleet_of_every_kind() -> None:
    """The example that users start from is valid, and each of its accounts is what its comment says."""
    fleet = read_fleet(EXAMPLE)
    assert (fleet.concurrency, fleet.notes) == (64, ())
    accounts = {account.name: account for account in fleet.accounts}
    assert list(accounts) == ["prod", "lab", "guest", "private-cloud", "machine", "old"]
    keys = ("GUEST_AK", "GUEST_SK", "GUEST_TOKEN")
    assert [account.credential for account in fleet.accounts] == [
        OsCloud("prod"), Keys("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"), Keys(*keys, "credential"), Token("OS_TOKEN"),
        HuaweiChain(), HuaweiProfile(str(Path("~/.huaweicloud/old-account").expanduser())),
    ]  # fmt: skip
    assert accounts["prod"].limits == Limits(project_rate="5/s")
    assert accounts["prod"].projects == ("eu-de_*", ID)
    assert accounts["lab"].projects is None
    assert [account.region for account in fleet.accounts] == [
        *("eu-de", "cn-north-4", "eu-west-101", None, "ap-southeast-3", "af-south-1")
    ]
    assert accounts["private-cloud"].ca_file == str(EXAMPLE.parent / "private-cloud.pem")
    assert [name for name, account in accounts.items() if account.project_level] == ["guest"]
    assert accounts["old"].limits == Limits("200/5min", 2)


def test_the_example_shows_every_key() -> None:
    """It says of itself that a key which it does not show is an error."""
    from sdrs_async.accounts import fleet_tables as tables

    text = EXAMPLE.read_text("utf-8")
    kinds = (tables.File, tables.Account, tables.Limits, tables.WholeLimits, tables.Credential)
    keys = [key for kind in kinds for key in kind.__struct_fields__] + [part.name for part in fields(Keys)]
    assert [key for key in keys if key not in text] == []


def test_an_account_needs_only_a_credential_and_projects() -> None:
    """Everything else has the library's defaults."""
    assert parse(ACCOUNT) == FleetFile((FleetAccount("a", OsCloud("a")),), 64)


def test_defaults_hold_until_an_account_says_otherwise() -> None:
    """Each setting is taken from the account if it is there, also where it is false."""
    fleet = parse(
        """
        defaults = { region = "eu-de", projects = ["x"], project_level = true, allow_http = true, ca_file = "/d.pem" }
        [accounts.plain]
        credential = { os_cloud = "a" }
        [accounts.own]
        credential = { os_cloud = "a" }
        region = "eu-nl"
        projects = "all"
        project_level = false
        allow_http = false
        ca_file = "/own.pem"
        """
    )
    assert fleet.accounts == (
        FleetAccount("plain", OsCloud("a"), "eu-de", None, None, "/d.pem", True, ("x",), True),
        FleetAccount("own", OsCloud("a"), "eu-nl", None, None, "/own.pem"),
    )


@pytest.mark.parametrize(
    ("own", "region", "endpoint", "iam_endpoint"),
    [
        ("", "r-1", "https://d", "https://i"),
        ('region = "r-2"', "r-2", None, None),
        ('endpoint = "https://own"', None, "https://own", None),
        ('iam_endpoint = "https://own"', "r-1", "https://d", "https://own"),
        ('region = "r-2"\niam_endpoint = "https://own"', "r-2", None, "https://own"),
    ],
)
def test_an_account_of_another_cloud_takes_no_host_of_the_defaults(
    own: str, region: str | None, endpoint: str | None, iam_endpoint: str | None
) -> None:
    """Region, endpoint and IAM endpoint name one cloud: no credential goes to a host of another."""
    defaults = '[defaults]\nregion = "r-1"\nendpoint = "https://d"\niam_endpoint = "https://i"\n'
    account = only(defaults + ACCOUNT + own)
    assert (account.region, account.endpoint, account.iam_endpoint) == (region, endpoint, iam_endpoint)


def test_limits_are_merged_one_by_one() -> None:
    """An account changes one limit and keeps the others; `none` lifts one, also one of the defaults."""
    text = f"""
        [limits]
        concurrency = 7
        [defaults.limits]
        project_rate = "200/5min"
        user_rate = "50/s"
        project_concurrency = 3
        {ACCOUNT}
        limits = {{ user_rate = "none", project_concurrency = " None " }}
        """
    expected = Limits(Rate(200, per=300), None, None, "200/s", 7)
    assert (parse(text).concurrency, only(text).limits) == (7, expected)


def test_the_number_of_requests_at_a_time_can_be_lifted() -> None:
    """`none` is unlimited, for the fleet and so for its accounts."""
    fleet = parse(f'limits.concurrency = "none"\n{ACCOUNT}')
    assert (fleet.concurrency, fleet.accounts[0].limits.concurrency) == (None, None)


def test_paths_are_relative_to_the_fleet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet file works from whatever folder the command is started in; `~` is the user's own."""
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "fleet.toml"
    file.write_text(
        '[defaults]\nregion = "r"\nprojects = "all"\nca_file = "tls/ca.pem"\n'
        '[accounts.a]\ncredential.huawei_profile = "keys"\n[accounts.b]\ncredential.huawei_profile = "~/keys"'
    )
    one, two = read_fleet(file).accounts
    assert one.ca_file == str(tmp_path / "tls" / "ca.pem")
    assert one.credential == HuaweiProfile(str(tmp_path / "keys"))
    assert two.credential == HuaweiProfile("/home/me/keys")


def test_what_is_named_twice_is_taken_once_and_noted() -> None:
    """A repeat does no harm; the user still gets to see it, with its place."""
    fleet = parse(ACCOUNT.replace('"all"', '["b*", "é", "b*", "é", "b*"]'))
    assert fleet.accounts[0].projects == ("b*", "é")
    assert fleet.notes == ("fleet.toml, line 3: accounts.a.projects: named more than once: 'b*', '\\xe9'",)


def test_missing_variables_are_named_with_their_account() -> None:
    """Every unset or empty variable is told, with the account that needs it; what is set is not looked at."""
    fleet = read_fleet(EXAMPLE)
    environ = {
        "HUAWEICLOUD_SDK_AK": SECRET,
        "HUAWEICLOUD_SDK_SK": "",
        "GUEST_AK": "x",
        "GUEST_SK": "x",
        "OS_TOKEN": "x",
    }
    assert missing_environment(fleet, environ) == [
        "account lab: HUAWEICLOUD_SDK_SK is not set in the environment (secret_key_env)",
        "account guest: GUEST_TOKEN is not set in the environment (security_token_env)",
    ]
    assert missing_environment(parse(ACCOUNT), {}) == []


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = b", "fleet.toml, line 1, column 5: is not proper TOML: Invalid value"),
        ("[a]\r\n\r\nb = 1\r\nb = 2\r\nc = 3", "fleet.toml, line 4, column 6: is not proper TOML: Cannot overwrite"),
        ("a = [", "fleet.toml, at its end: is not proper TOML: Invalid value"),
        (f"a = {'9' * 5000}", "fleet.toml: is TOML that is too long in a number, or nested too deep"),
        (f"a = {'[' * 5000}", "fleet.toml: is TOML that is too long in a number, or nested too deep"),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_refused_with_its_place(text: str, says: str) -> None:
    """The line and the column are those of the parser, which counts the lines of every system alike."""
    assert refused(text).startswith(says)


CREDENTIAL = "[accounts.a.credential]\n"


def projects(value: str) -> str:
    """An account with these projects, in the third line."""
    return ACCOUNT.replace('"all"', value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "fleet.toml: accounts: is missing: a fleet has at least one"),
        ("[accounts]", "fleet.toml, line 1: accounts: is missing: a fleet has at least one"),
        ("[[accounts]]", "fleet.toml, line 1: accounts: has to be `table`, got `list`"),
        ("[account.a]", "fleet.toml, line 1: account: is not known here: the keys are defaults, limits, accounts"),
        ("accounts.a = 1", "fleet.toml, line 1: accounts.a: has to be `table`, got `integer`"),
        ("\n[accounts.a]", "fleet.toml, line 2: accounts.a.credential: a source is missing: it is one of { os_cloud"),
        (CREDENTIAL, "line 1: accounts.a.credential: a source is missing"),
        (CREDENTIAL + 'os_cloud = "x"\ntoken_env = "T"', "a.credential: has os_cloud and token_env: name one source"),
        (CREDENTIAL + 'os_cloud = ""', "line 2: accounts.a.credential.os_cloud: is empty, too long, or has control"),
        (CREDENTIAL + 'os_cloud = "a\\nb"', "line 2: accounts.a.credential.os_cloud: is empty, too long, or has"),
        (CREDENTIAL + 'huawei = "x"', 'line 2: accounts.a.credential.huawei: has to be "chain"'),
        (CREDENTIAL + 'huawei_profile = ""', "line 2: accounts.a.credential.huawei_profile: is empty"),
        (CREDENTIAL + 'huawei_profile = "~no-such-user/x"', "huawei_profile: begins with ~, and that user has no home"),
        (CREDENTIAL + 'ak_sk.access_key_env = "A"', "line 2: accounts.a.credential.ak_sk: secret_key_env is missing"),
        (
            CREDENTIAL + 'ak_sk = { access_key_env = "A", secret_key_env = "B", form = "new" }',
            'line 2: accounts.a.credential.ak_sk.form: has to be "access" or "credential"',
        ),
        (
            CREDENTIAL + '[accounts.a.credential.ak_sk]\n\naccess_key_env = "A"\nkey_env = "B"',
            "line 5: accounts.a.credential.ak_sk.key_env: is not known here: the keys are access_key_env, secret_key_",
        ),
        (ACCOUNT + "projects_level = true", "line 4: accounts.a.projects_level: is not known here: the keys are"),
        (ACCOUNT + 'project_level = "yes"', "line 4: accounts.a.project_level: has to be `boolean`, got `string`"),
        (ACCOUNT + "weight = 0", "line 4: accounts.a.weight: has to be a whole number from 1 to 100"),
        (ACCOUNT + "weight = 101", "line 4: accounts.a.weight: has to be a whole number from 1 to 100"),
        (ACCOUNT + "weight = 1.5", "line 4: accounts.a.weight: has to be `integer`, got `float`"),
        (ACCOUNT + "project_level = 1", "line 4: accounts.a.project_level: has to be `boolean`, got `integer`"),
        (ACCOUNT + 'region = "eu/de"', "line 4: accounts.a.region: 'eu/de' is not a region: write it like eu-de"),
        (ACCOUNT + 'endpoint = ""', "line 4: accounts.a.endpoint: is empty"),
        (ACCOUNT + 'iam_endpoint = "https://x "', "line 4: accounts.a.iam_endpoint: is empty, too long, or has"),
        (ACCOUNT + 'ca_file = "a\\u0000"', "line 4: accounts.a.ca_file: is empty, too long, or has control characters"),
        (ACCOUNT + f'ca_file = "{"a" * 5000}"', "line 4: accounts.a.ca_file: is empty, too long, or has control"),
        (
            ACCOUNT + 'region = "eu-nl"\nendpoint = "https://sdrs.eu-de.otc.t-systems.com"',
            "line 1: accounts.a: region is eu-nl, but the endpoint is in eu-de",
        ),
        (projects("[]"), 'line 3: accounts.a.projects: is an empty list: nothing would be done; "all" is all of them'),
        (projects('"eu-de"'), 'line 3: accounts.a.projects: has to be "all", or a list of ids'),
        (projects('["all"]'), 'line 3: accounts.a.projects: has to be "all", or a list of ids'),
        (projects("[\n'x',\n1]"), "line 3: accounts.a.projects: has to be `string`, got `integer`"),
        (projects("[' x']"), "line 3: accounts.a.projects: is empty, too long, or has control"),
        (ACCOUNT.replace("projects", "#"), 'line 1: accounts.a: projects are missing: projects = "all", or a list'),
        (ACCOUNT.replace("accounts.a", 'accounts."\\u001b[1m"'), 'line 1: accounts."\\u001b[1m": is empty, too long,'),
        (ACCOUNT.replace("accounts.a", 'accounts.""'), 'line 1: accounts."": is empty, too long, or has control'),
        (ACCOUNT + "[limits]\nconcurrency = 0", "line 5: limits.concurrency: has to be a whole number of at least 1"),
        (ACCOUNT + "[limits]\nconcurrency = true", "line 5: limits.concurrency: has to be `integer | string`, got"),
        (ACCOUNT + "[limits]\nproject_rate = '1/s'", "line 5: limits.project_rate: is not known here: the keys are"),
        (ACCOUNT + "limits.concurrency = 8", "line 4: accounts.a.limits.concurrency: is not known here: the keys are"),
        (ACCOUNT + "limits.project_rate = 'fast'", "line 4: accounts.a.limits.project_rate: rate 'fast' is not under"),
        (ACCOUNT + "limits.user_rate = 10", "line 4: accounts.a.limits.user_rate: rate 10 is not understood: write it"),
        (ACCOUNT + "limits.endpoint_rate = '0/s'", "line 4: accounts.a.limits.endpoint_rate: the count of a rate must"),
        (ACCOUNT + "limits.project_concurrency = '8'", "line 4: accounts.a.limits.project_concurrency: has to be a"),
        (ACCOUNT + "[defaults]\ncredential = 1", "line 5: defaults.credential: is not known here: the keys are"),
        (".".join("abcdefghijklmnopqrstuvwxyz" * 200) + " = 1", "fleet.toml, line 1: a.b: is nested too deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_key(text: str, says: str) -> None:
    """One line says where it is, what is wrong, and where there is a choice, what it can be."""
    said = refused(text)
    assert said.startswith("fleet.toml")
    assert says in said
    assert said.isprintable()


@pytest.mark.parametrize("credential", ['token_env = "T"', 'huawei = "chain"', 'huawei_profile = "f"', "ak_sk = {}"])
def test_an_account_says_where_its_service_is(credential: str) -> None:
    """Only clouds.yaml can say it instead. The defaults may, or the account by either of two keys."""
    keys = '{ access_key_env = "A", secret_key_env = "B" }'
    text = f'[accounts.a]\nprojects = "all"\ncredential.{credential.replace("{}", keys)}\n'
    assert "fleet.toml, line 1: accounts.a: region or endpoint is missing" in refused(text)
    for place in (
        'region = "r"',
        'endpoint = "https://x"',
        '[defaults]\nregion = "r"',
        '[defaults]\nendpoint = "https://x"',
    ):
        assert only(text + place)


def test_one_form_of_signature_needs_a_region() -> None:
    """The older form signs for a region, which an endpoint of the usual pattern names as well."""
    text = '[accounts.a]\nprojects = "all"\n[accounts.a.credential.ak_sk]\naccess_key_env = "A"\nsecret_key_env = "B"\n'
    text += 'form = "credential"\n[defaults]\n'
    said = refused(f'{text}endpoint = "https://sdrs.example.com"')
    assert said == 'fleet.toml, line 1: accounts.a: region is missing: form = "credential" signs for it'
    assert only(f'{text}endpoint = "https://sdrs.example.com"\nregion = "r"')
    assert only(f'{text}endpoint = "https://sdrs.eu-de.otc.t-systems.com"')


def test_all_tables_that_are_wrong_are_told_at_once() -> None:
    """One run shows what there is to mend, in the file's order; a fault of the defaults causes no second message."""
    said = refused(
        """
        [accounts.a]
        credential.token_env = 1
        [accounts.good]
        credential.os_cloud = "x"
        [accounts.b]
        credential.os_cloud = "x"
        limits.project_rate = "x"
        [limits]
        x = 1
        [defaults]
        projects = [] # so that the accounts have none
        """
    )
    assert [line.split(": ")[:2] for line in said.splitlines()] == [
        ["fleet.toml, line 3", "accounts.a.credential.token_env"],
        ["fleet.toml, line 8", "accounts.b.limits.project_rate"],
        ["fleet.toml, line 10", "limits.x"],
        ["fleet.toml, line 12", "defaults.projects"],
    ]


def test_a_file_that_is_all_wrong_is_told_in_a_screenful() -> None:
    """Of hundreds of errors the first twenty are shown, and the number of the others."""
    lines = refused("".join(f"[accounts.a{number}]\n" for number in range(500))).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("fleet.toml, line 1: accounts.a0.credential: a source is missing")
    assert lines[-1] == "fleet.toml: and 480 more"


def test_a_line_is_found_behind_whatever_can_stand_before_it() -> None:
    """Strings over lines, brackets in strings and comments, and quotes in quotes do not shift the line."""
    lines = [
        r'[defaults] # ] [ " """',
        r'ca_file = """\ ',
        r'a\"""[b',
        r'{""""" # five quotes: the last two belong to the text',
        r"iam_endpoint = '''",
        r"[accounts.x]",
        r"'''''",
        r"region = 'x]\'",
        r"projects = [ # [",
        r"  '[', # '",
        r"",
        r'  "]\"[", """four quotes"""", "]",',
        r"  '''and here'''', ']',",
        r"]",
        r"[accounts.'a.b'] # x",
        r"credential = { os_cloud = '{' }",
        r"limits . 'user_rate' = 'x'",
        r"x = 1",
    ]
    assert f'fleet.toml, line {len(lines)}: accounts."a.b".x: is not known here' in refused("\n".join(lines))
    lines[-1] = ""
    assert f'fleet.toml, line {len(lines) - 1}: accounts."a.b".limits.user_rate: rate' in refused("\n".join(lines))


# ---- whose project it is


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ('region = "eu-de"', 'region = "eu-de"', True),
        ('region = "eu-de"', 'endpoint = "https://sdrs.eu-de.otc.t-systems.com/"', True),
        ('endpoint = "https://sdrs.example.com"', 'endpoint = "https://SDRS.example.com/"\nregion = "x"', True),
        ('endpoint = "https://a.test:443/v1"', 'endpoint = "https://a.test/v1/%(project_id)s"', True),
        ('region = "eu-de"', 'endpoint = "https://sdrs.eu-de.otc.t-systems.com/v1/$(tenant_id)s"', True),
        ('region = "eu-de"', 'region = "eu-nl"', False),
        ('region = "x"\nendpoint = "https://a"', 'region = "x"\nendpoint = "https://b"', False),
        ("", "", False),
    ],
)
def test_a_project_belongs_to_one_account(one: str, two: str, same: bool) -> None:
    """Two accounts at one endpoint cannot both name a project by its id; at different ones, ids mean nothing."""
    text = "".join(
        f'[accounts.{name}]\ncredential = {{ os_cloud = "{name}" }}\nprojects = ["{ID}", "{ID}", "eu-de_*"]\n{place}\n'
        for name, place in (("a", one), ("b", two))
    )
    if not same:
        assert len(parse(text).accounts) == 2
        return
    said = refused(text)
    assert f"accounts.b.projects: project {ID} is of account 'a' too: a project belongs to one account" in said


def test_two_accounts_of_one_credential_without_a_region_are_at_one_endpoint() -> None:
    """What clouds.yaml says of a cloud is the same for both."""
    text = "".join(
        f'[accounts.{name}]\ncredential = {{ os_cloud = "same" }}\nprojects = ["{project}"]\n'
        for name, project in (("a", ID), ("b", OTHER_ID), ("c", ID))
    )
    assert "line 9: accounts.c.projects: project" in refused(text)


# ---- secrets


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("token", "token_env"), ("auth_token", "token_env"), ("OS-TOKEN", "token_env"),
        ("password", "os_cloud"), ("os_password", "os_cloud"), ("passwd", "os_cloud"), ("passcode", "os_cloud"),
        ("secret_key", "ak_sk"), ("access_key", "ak_sk"), ("access_key_id", "ak_sk"), ("secret_access_key", "ak_sk"),
        ("secretKey", "ak_sk"), ("ak", "ak_sk"), ("SK", "ak_sk"), ("ak_sk", "ak_sk"), ("security_token", "ak_sk"),
        ("secret", "ak_sk"), ("application_credential_secret", "os_cloud"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "[defaults]", "[accounts.a]", "[accounts.a.credential.x]", "[[x.y]]"])
def test_a_secret_is_refused_with_the_way_to_refer_to_it(key: str, way: str, place: str) -> None:
    """Wherever it stands and whatever else is wrong: its key and line are told, its value never."""
    for value in (f'"{SECRET}"', f'["", "{SECRET}"]', f'"""\n{SECRET}"""'):
        said = refused(f"{place}\n{key} = {value}\n")
        assert said.startswith("fleet.toml, line 2: " if "[[" not in place else "fleet.toml, line 1: ")
        assert f"{key}: a secret does not belong in this file, refer to it: credential = {{ {way} = " in said
        assert SECRET not in said
        assert said.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        f'accounts.a.credential = "{SECRET}"',
        f'accounts.a.credential.huawei = "{SECRET}"',
        f'accounts.a.credential.user = "{SECRET}"',
        f'accounts.a.credential.ak_sk = {{ access_key_env = "A", secret_key_env = "B", form = "{SECRET}" }}',
        f'{ACCOUNT}endpoint = "https://me:{SECRET}@sdrs.example.com"',
        f'{ACCOUNT}iam_endpoint = "https://{SECRET}@iam.example.com"',
        f"a = {SECRET}",
        f'"a = "{SECRET}"',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(text: str) -> None:
    """Whatever key a secret is pasted into, it is in no message and no log."""
    assert SECRET not in refused(text)


@pytest.mark.parametrize("key", ["token_env", "access_key_env", "secret_key_env", "security_token_env"])
@pytest.mark.parametrize(
    "value",
    ["", SECRET, "0BCDEF0123456789", "bcdef0123456789", "aB3xYz90aB3xYz90", "A" * 65, "a_" * 33, "a$_", "Ä", "A\\n"],
)
def test_the_name_of_a_variable_does_not_look_like_a_secret(key: str, value: str) -> None:
    """Who pastes the secret itself where the name belongs is told so, and not shown it again."""
    names = {"access_key_env": "A", "secret_key_env": "B", key: value}
    credential = f'token_env = "{value}"' if key == "token_env" else f"ak_sk = {toml(names)}".replace("\\\\", "\\")
    said = refused(f"[accounts.a.credential]\n{credential}")
    assert f"{key}: has to be the name of an environment variable, like OS_TOKEN; not the secret itself" in said
    assert not value or value not in said


@pytest.mark.parametrize("name", ["OS_TOKEN", "A", "_X9", "TF_VAR_sk", "_x", "http_proxy"])
def test_a_variable_may_have_any_usual_name(name: str) -> None:
    """Capitals, or an underscore: what secrets do not look like."""
    text = f'[accounts.a]\ncredential = {{ token_env = "{name}" }}\nprojects = "all"\nregion = "r"'
    assert only(text).credential == Token(name)


def test_an_account_may_be_called_what_it_likes() -> None:
    """A name is no key: an account may be named after what it signs in with."""
    names = ["token", "password", "ak_sk", "sk", "Größe 1", "a.b"]
    text = "".join(ACCOUNT.replace("accounts.a", f"accounts.{toml(name)}") for name in names)
    assert [account.name for account in parse(text).accounts] == names


# ---- files


def test_a_fleet_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    """Not there, a folder, no text, without an end: each is told with the file's name."""
    (tmp_path / "folder").mkdir()
    for name, says in {"missing": "No such file", "folder": "Is a directory"}.items():
        with pytest.raises(ConfigError, match=f"{name}: the fleet file cannot be read: {says}"):
            read_fleet(tmp_path / name)
    (tmp_path / "latin").write_bytes(b"# x\n# \xe9")
    with pytest.raises(ConfigError, match="latin, line 2: is not UTF-8 text"):
        read_fleet(str(tmp_path / "latin"))
    with pytest.raises(ConfigError, match="/dev/zero: longer than 16 MiB: this is not a fleet file"):
        read_fleet("/dev/zero")


def test_an_editor_of_another_system_may_have_written_it(tmp_path: Path) -> None:
    """A byte order mark and line ends of two characters make no difference."""
    file = tmp_path / "fleet.toml"
    file.write_bytes(b"\xef\xbb\xbf" + ACCOUNT.replace("\n", "\r\n").encode())
    assert read_fleet(file) == parse(ACCOUNT)


# ---- any fleet, any text

LINES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
PATHS = LINES.map(lambda name: f"/etc/x{name.replace('/', '')}")
VARIABLES = st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True)
REGIONS = st.from_regex(r"[a-z]{2}-[a-z]{1,5}-[0-9]", fullmatch=True)
URLS = st.from_regex(r"https://sdrs\.[a-z]{1,8}\.example(/v3)?", fullmatch=True)
RATES = st.none() | st.builds(Rate, st.integers(1, 999), st.floats(0.001, 3600))
CAPS = st.none() | st.integers(1, 10**9 - 1)
FORMS: st.SearchStrategy[Any] = st.sampled_from(["access", "credential"])
CREDENTIALS: st.SearchStrategy[Credential] = st.one_of(
    st.builds(OsCloud, LINES),
    st.builds(Token, VARIABLES),
    st.builds(Keys, VARIABLES, VARIABLES, st.none() | VARIABLES, FORMS),
    st.just(HuaweiChain()),
    st.builds(HuaweiProfile, PATHS),
)
PROJECTS = st.lists(LINES.filter(lambda name: name != "all"), min_size=1, max_size=3, unique=True)


@st.composite
def fleets(draw: st.DrawFn) -> FleetFile:
    """Any fleet that a file can hold; ids, which belong to one account each, have tests of their own."""
    concurrency = draw(CAPS)
    accounts = [
        FleetAccount(
            name,
            draw(CREDENTIALS),
            region=draw(REGIONS),
            endpoint=draw(st.none() | URLS),
            iam_endpoint=draw(st.none() | URLS),
            ca_file=draw(st.none() | PATHS),
            allow_http=draw(st.booleans()),
            projects=draw(st.none() | PROJECTS.map(tuple)),
            project_level=draw(st.booleans()),
            limits=Limits(draw(RATES), draw(CAPS), draw(RATES), draw(RATES), concurrency),
            weight=draw(st.integers(1, 100)),
        )
        for name in draw(st.lists(LINES, min_size=1, max_size=3, unique=True))
    ]
    return FleetFile(tuple(accounts), concurrency)


def toml(value: Any) -> str:
    """A value as TOML, which spells texts, numbers and truths as JSON does."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + "".join(f"\n  {toml(inner)}," for inner in value) + "\n]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def credential_table(credential: Credential) -> dict[str, Any]:
    """The reference to a credential as it is written."""
    match credential:
        case OsCloud(name):
            return {"os_cloud": name}
        case Token(env):
            return {"token_env": env}
        case HuaweiChain():
            return {"huawei": "chain"}
        case HuaweiProfile(path):
            return {"huawei_profile": path}
        case Keys():
            return {"ak_sk": {key: value for key, value in asdict(credential).items() if value}}


def written(account: FleetAccount) -> Iterator[str]:
    """The table of an account, with all that is set."""
    limits = account.limits
    rates = {key: str(getattr(limits, key) or "none") for key in ("project_rate", "user_rate", "endpoint_rate")}
    settings = {
        "credential": credential_table(account.credential),
        **{key: getattr(account, key) for key in ("region", "endpoint", "iam_endpoint", "ca_file")},
        **{key: getattr(account, key) for key in ("allow_http", "project_level", "weight")},
        "projects": account.projects or "all",
        "limits": {**rates, "project_concurrency": limits.project_concurrency or "none"},
    }
    yield f"[accounts.{toml(account.name)}]"
    yield from (f"{key} = {toml(value)}" for key, value in settings.items() if value is not None)


@given(fleets())
def test_any_fleet_can_be_written_and_read_back(fleet: FleetFile) -> None:
    """What a file says is what comes out, for every fleet that there can be."""
    tables = [line for account in fleet.accounts for line in written(account)]
    assert parse("\n".join([f"limits.concurrency = {toml(fleet.concurrency or 'none')}", *tables])) == fleet


KEYS = st.sampled_from(
    [
        *("defaults", "limits", "accounts", "credential", "a", "projects", "region", "endpoint", "ca_file", "os_cloud"),
        *("token_env", "ak_sk", "huawei", "token", "project_rate", "concurrency", "x", "form", "''", "'b c'"),
    ]
)
LEAVES = st.integers() | st.booleans() | st.text(max_size=5) | st.sampled_from(["all", "10/s", "r-1"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.sampled_from(["a", "os_cloud"]), inner),
    max_leaves=4,
)
DOTTED = st.lists(KEYS, min_size=1, max_size=4).map(".".join)
STATEMENTS = st.one_of(
    DOTTED.map(lambda key: f"[{key}]"),
    DOTTED.map(lambda key: f"[[{key}]]"),
    st.builds(lambda key, value: f"{key} = {toml(value)}", DOTTED, VALUES),
    st.just(ACCOUNT),
    st.text(max_size=5),
)


@given(st.text() | st.lists(STATEMENTS, max_size=8).map("\n".join))
def test_any_text_is_a_fleet_or_a_configuration_error(text: str) -> None:
    """However wrong a file is, it is a wrong file, and the message is one for a terminal."""
    try:
        fleet, said = parse(text), "fleet.toml"
    except ConfigError as error:
        fleet, said = None, str(error)
    assert fleet is None or fleet.accounts
    assert all(line.startswith("fleet.toml") and line.isprintable() for line in said.split("\n"))
