"""Nothing but what was selected is deleted: names letter for letter, ids as they came, and what is in doubt is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdrs_async import ConfigError, Report, RetryPolicy, Selection, connect
from sdrs_async.simulator import Fault, Simulator
from tests.cleanup.test_discovery import QUICK, account, failed
from tests.support.command import run, texts

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

IDS = list(dict(Simulator(projects=4, groups=2).targets))
GROUPS = [group for _, group in Simulator(projects=4, groups=2).targets]


def listed(route: str, key: str, items: list[dict[str, Any]], **how: Any) -> Fault:
    """The list of this route has these items."""
    return Fault("status", status=200, route=route, body={key: items, "count": len(items)}, **how)


def named(*names: Any) -> Fault:
    """IAM lists the simulator's projects under these names; a mapping is the whole entry of one."""
    entries = [
        name if isinstance(name, dict) else {"id": project, "name": name}
        for project, name in zip(IDS, names, strict=False)
    ]
    return listed("list_own_projects", "projects", entries)


async def cleaned(selection: Selection, *faults: Fault, **how: Any) -> tuple[list[int], Report]:
    """The numbers of the projects to which a deletion was sent, and the report."""
    async with Simulator(projects=4, groups=2, faults=faults) as sim:
        async with connect(account(sim, **how), retry=QUICK) as session:
            report = await session.clean(selection)
        sent = {entry.project_id for entry in sim.log if entry.method == "DELETE"}
        assert {entry.route for entry in sim.log if entry.method == "DELETE"} <= {"delete_group_failures"}
        assert all(project in IDS for project in sent)
    return [IDS.index(str(project)) for project in sorted(sent, key=lambda one: IDS.index(str(one)))], report


# ---- names


@pytest.mark.parametrize(
    ("entry", "names", "expected"),
    [
        # A name is that name first, whatever it would be as a pattern.
        ("eu-de_[prod]", ["eu-de_[prod]", "eu-de_p", "eu-de_r"], [0]),
        ("a*b", ["axb", "a*b", "ab"], [1]),
        ("a?b", ["axb", "a?b"], [1]),
        ("*", ["eu-de", "*", "eu-nl"], [1]),
        ("[!a]", ["b", "[!a]", "c"], [1]),
        # What is nobody's name is a pattern.
        ("eu-de_[prod]", ["eu-de_[dev]", "eu-de_p", "eu-de_r", "eu-de_x"], [1, 2]),
        ("[!a]", ["a", "b", "!", "ab"], [1, 2]),
        ("x[", ["x[", "x", "x[["], [0]),
        ("x[*", ["x[a", "xa", "y"], [0]),
        ("[]]", ["]", "[]", "[]]x"], [0]),
        ("[z-a]", ["z", "a", "-", "m"], []),
        ("eu*", ["eu-de", "eu\nde", "EU-de", " eu-de"], [0, 1]),
        # Letter for letter: no blank, case, Unicode form or unseen letter is overlooked.
        ("eu-de", [" eu-de", "eu-de ", "EU-DE", "eu-de"], [3]),
        ("eu-de", ["eu-de\u200b", "\ufeffeu-de", "eu\u2010de", "eu-de\n"], []),
        ("eu-de", ["eu-de\ud800", "eu\u00a0de", "\uff45u-de", "eu-de\x00"], []),
        (" eu-de", ["eu-de", " eu-de"], [1]),
        ("\u00e9", ["e\u0301", "\u00e9", "\u00c9", "e"], [1]),
        ("eu-de*", ["\uff45u-de", "EU-DE", "eu-de\u200b"], [2]),
        # Two projects of one name: nobody knows which.
        ("eu-de", ["eu-de", "eu-de", "eu-nl"], []),
    ],
    ids=ascii,
)
async def test_a_name_means_the_project_of_that_very_name(entry: str, names: list[str], expected: list[int]) -> None:
    """Only what is nobody's id or name is read as a pattern; nothing is tidied up on either side."""
    sent, report = await cleaned(Selection([entry]), named(*names))
    assert sent == expected
    rows = failed(report)
    assert [row["verdict"] for row in rows] == ([] if expected else ["rejected"])
    assert report.exit_code == (0 if expected else 1)


@pytest.mark.parametrize(
    ("entries", "names", "expected", "unknown"),
    [
        # The name of a project is the id of another: it is the other that is meant.
        (["ID1", "eu-de"], [IDS[1], "eu-nl", "eu-de"], [1, 2], 0),
        (["ID1"], [IDS[1], "eu-nl"], [1], 0),
        # An id that nobody has is no name, even where one looks like it.
        (["f" * 32, "eu-de"], ["f" * 32, "eu-de"], [1], 1),
        # A pattern is of names; only where none fits it is one of ids.
        ([f"*{IDS[2][3:6]}*"], ["x", f"x{IDS[2][3:6]}", "y", "z"], [1], 0),
        ([f"{IDS[2][:20]}*", "eu-nl"], ["eu-nl", "de", "x"], [0, 2], 0),
        ([IDS[2].upper(), "eu-nl"], ["eu-nl", "de", "x"], [0], 1),
    ],
)
async def test_an_id_is_only_an_id(entries: list[str], names: list[str], expected: list[int], unknown: int) -> None:
    """An entry that is an id, or looks like one, never means a name, and what looks like a name never means an id."""
    meant = [IDS[int(entry[2:])] if entry.startswith("ID") else entry for entry in entries]
    sent, report = await cleaned(Selection(meant), named(*names))
    assert sent == expected
    assert [row["verdict"] for row in failed(report)] == ["rejected"] * unknown


NAMESAKES = ("eu-de", "eu-de", "eu-de_x", "eu-nl")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["eu-de"], []),
        (["eu-de", "eu-de"], []),
        (["eu-de", "eu-de_x"], [2]),
        # The id tells which; a pattern does not.
        (["eu-de", IDS[1]], [1]),
        (["eu-de", "eu-*"], [2, 3]),
        (["eu-*"], [0, 1, 2, 3]),
        ([IDS[0], "eu-de_x"], [0, 2]),
    ],
)
async def test_a_name_that_two_projects_have_means_neither(entries: list[str], expected: list[int]) -> None:
    """Names are unique in a domain only: nothing is sent for either, both ids are named, and the others are cleaned."""
    sent, report = await cleaned(Selection(entries), named(*NAMESAKES))
    assert sent == expected
    rows = [(row["project_id"], row["account"], row["verdict"], row["message"]) for row in failed(report)]
    words = f"2 projects have this name, {IDS[0]} and {IDS[1]}: give the id of the one that is meant"
    assert rows == ([("eu-de", "prod", "rejected", words)] if "eu-de" in entries else [])
    assert report.exit_code == (1 if rows else 0)


async def test_a_namesake_that_cannot_be_used_is_one_all_the_same() -> None:
    """Which of the two was meant is not known, if one is disabled; a domain is no project, and has no part in it."""
    off = {"id": IDS[1], "name": "eu-de", "enabled": False}
    sent, report = await cleaned(Selection(["eu-de"]), named("eu-de", off))
    [row] = failed(report)
    assert (sent, f"{IDS[0]} and {IDS[1]} (disabled): give" in row["message"]) == ([], True)
    sent, report = await cleaned(Selection(["eu-de"]), named("eu-de", {**off, "enabled": True, "is_domain": True}))
    assert (sent, failed(report)) == ([0], [])


async def test_many_namesakes_are_not_all_named() -> None:
    """Five ids, and how many more there are."""
    entries = [{"id": f"{number:032x}", "name": "eu-de"} for number in range(7)]
    sent, report = await cleaned(Selection(["eu-de"]), listed("list_own_projects", "projects", entries))
    [row] = failed(report)
    assert sent == []
    assert row["message"].startswith("7 projects have this name, ")
    assert f"{4:032x} and 2 more: give the id" in row["message"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("eu_de", "no project that the account may use (4 in all) has this id or name, letter for letter"),
        ("eu_*", "no project that the account may use (4 in all) fits this pattern, letter for letter"),
        ("f" * 32, "no project that the account may use (4 in all) has this id or name, letter for letter"),
        ("eu-nl", "left out: disabled"),
    ],
)
async def test_an_entry_that_means_no_project_is_rejected(entry: str, message: str) -> None:
    """Nothing was asked of the service, so it is not `gone`: it was looked for among so many, or is left out."""
    off = {"id": IDS[3], "name": "eu-nl", "enabled": False}
    sent, report = await cleaned(Selection([entry, "eu-de"]), named("eu-de", "b", "c", off))
    [row] = failed(report)
    assert sent == [0]
    assert (row["verdict"], row["status_code"], row["message"]) == ("rejected", None, message)


async def test_an_entry_that_nobody_has_is_told_in_letters_that_can_be_written() -> None:
    """A name with half a surrogate pair, or with what is not seen, is shown with escapes: the report can be encoded."""
    _, report = await cleaned(Selection(["eu-de", "no\u200bsuch\ud800"]), named("eu-de"))
    [row] = failed(report)
    assert row["project_id"] == r"'no\u200bsuch\ud800'"


@pytest.mark.parametrize("projects", [[""], ["eu-de", ""], ["eu-de", None], [5], b"eu-de", {}, iter(())])
def test_entries_that_are_no_text_are_refused(projects: Any) -> None:
    """An empty entry would be the name of a project without one."""
    with pytest.raises(ConfigError, match="projects must be a list"):
        Selection(projects)


def test_a_selection_keeps_what_it_was_made_of() -> None:
    """A list that changes later, or an iterator that is used up, changes no selection."""
    names = ["eu-de"]
    selection = Selection(names)
    names.append("*")
    assert selection.projects == ("eu-de",)
    entries: Any = iter([IDS[0], IDS[1]])
    selection = Selection(entries)
    assert (selection.ids(), selection.projects) == (IDS[:2], tuple(IDS[:2]))


# ---- ids that cannot be used

BAD = [f"{IDS[1]}\u200b", f"\u00a0{IDS[1]}", f"{IDS[1]}\n", f"{IDS[1]}\ud800", f"{IDS[1]} ", "batch", f"../{IDS[1]}"]


@pytest.mark.parametrize("bad", [*BAD, 5, None], ids=lambda one: ascii(one)[-12:])
async def test_a_project_whose_id_cannot_be_used_is_told_and_keeps_no_other(bad: object) -> None:
    """No other project is made of its id; it is noted by name and reason, exit code 1, and the others are cleaned."""
    sent, report = await cleaned(Selection(), named("eu-de", {"id": bad, "name": "eu-de_x"}, "eu-de_y"))
    assert sent == [0, 2]
    [row] = failed(report)
    shown = bad if isinstance(bad, str) and bad.isprintable() else ascii(bad)
    assert row["project_id"] == (shown if isinstance(bad, str) else None)
    assert row["verdict"] == "rejected"
    assert f"id {bad!a} is refused: " in row["message"]
    assert str(report.to_dict()).encode()
    assert (report.targets["done"], report.exit_code) == (4, 1)


async def test_a_project_whose_id_cannot_be_used_matters_only_where_it_is_selected() -> None:
    """Who named another project hears nothing of it; who named it, by its very name, gets no other by a pattern."""
    odd = {"id": f"{IDS[1]}\u200b", "name": "eu-de_[prod]"}
    sent, report = await cleaned(Selection(["eu-de"]), named("eu-de", odd))
    assert (sent, failed(report), report.exit_code) == ([0], [], 0)
    sent, report = await cleaned(Selection(["eu-de_[prod]"]), named("eu-de", odd, "eu-de_p"))
    assert (sent, report.exit_code) == ([], 1)
    assert [row["project_id"] for row in failed(report)] == [ascii(odd["id"])]


async def test_a_project_in_doubt_is_told() -> None:
    """`is_domain` or `enabled` as texts: neither cleaned nor left out without a word, whoever else is selected."""
    entries = (
        {"id": IDS[0], "name": "eu-de", "is_domain": "true"},
        {"id": IDS[1], "name": "eu-de_x", "enabled": "false"},
        "eu-de_y",
    )
    sent, report = await cleaned(Selection(["eu-de*"]), named(*entries))
    assert sent == [2]
    assert {row["project_id"]: row["message"] for row in failed(report)} == {
        IDS[0]: "left out: is_domain is neither true nor false: 'true'",
        IDS[1]: "left out: enabled is neither true nor false: 'false'",
    }
    assert report.exit_code == 1


async def test_a_list_that_contradicts_itself_selects_nothing() -> None:
    """One project under two names: whom a name or pattern means cannot be told. Its id still can be given."""
    fault = named("eu-de", {"id": IDS[0], "name": "eu-de_[prod]"}, "eu-de_p")
    sent, report = await cleaned(Selection(["eu-de_[prod]"]), fault)
    assert sent == []
    assert [(row["project_id"], row["verdict"]) for row in failed(report)] == [(None, "incomplete")]
    assert (await cleaned(Selection(IDS[:1]), fault))[0] == [0]


@pytest.mark.parametrize(
    "bad", [f"{GROUPS[2]}\u200b", f"{GROUPS[2]}\n", f" {GROUPS[2]}", f"{GROUPS[2]}\ud800", "batch", 7]
)
async def test_a_group_whose_id_cannot_be_used_is_told_and_keeps_no_other(bad: object) -> None:
    """The group that it looks like is left alone; the others of the list are cleaned, the project is noted."""
    fault = listed("list_groups", "server_groups", [{"id": bad}, {"id": GROUPS[3]}], only=[IDS[1]])
    async with Simulator(projects=4, groups=2, faults=[fault]) as sim:
        async with connect(account(sim), retry=QUICK) as session:
            report = await session.clean(Selection())
        left = [group for project, group in sim.targets if sim.failed_tasks(project, group)]
        assert left == [GROUPS[2]]
        assert not any(sim.failed_tasks(project) == 0 for project in IDS)
    [row] = failed(report)
    assert (row["project_id"], row["verdict"]) == (IDS[1], "rejected")
    assert f"id {bad!a} is refused: " in row["message"]
    assert (report.targets["done"], report.targets["planned"], report.exit_code) == (7, 7, 1)


async def test_groups_that_differ_in_case_only_are_two() -> None:
    """Each is sent as it came, once: neither is taken for a repeat of the other."""
    ids = ["ab", "AB", "aB", "ab"]
    fault = listed("list_groups", "server_groups", [{"id": one} for one in ids], only=[IDS[0]])
    async with Simulator(projects=1, groups=2, faults=[fault]) as sim:
        async with connect(account(sim), retry=RetryPolicy(attempts=1)) as session:
            await session.clean(Selection([IDS[0]]))
        sent = [entry.server_group_id for entry in sim.log if entry.method == "DELETE"]
    assert sorted(map(str, sent)) == sorted(set(ids))


# ---- in the command


async def test_the_command_tells_what_it_left_alone_and_writes_all_files(tmp_path: Path) -> None:
    """Ids that cannot be used, and names that no terminal shows: exit code 1, told by name, and every file is good."""
    faults = (
        named("eu-de\ud800\n[y/N] ", {"id": f"{IDS[1]}\ud800", "name": "\x1b[31m"}, "eu-de_[prod]", "eu-de_p"),
        listed("list_groups", "server_groups", [{"id": f"{GROUPS[0]}\ud800"}, {"id": GROUPS[1]}], only=[IDS[0]]),
    )
    files = {flag: str(tmp_path / flag) for flag in ("json", "html", "results")}
    async with Simulator(projects=4, groups=2, faults=faults) as sim:
        done = await run(
            "clean", "--endpoint", sim.url, "--iam-endpoint", sim.url, "--yes", "--log-level", "debug",
            *("--project", "*[y/N]*", "--project", "\x1b[[]31m", "--project", "eu-de_[prod]"),
            *(word for flag, path in files.items() for word in (f"--{flag}", path)),
            token=sim.token,
        )  # fmt: skip
        left = [GROUPS.index(group) for project, group in sim.targets if sim.failed_tasks(project, group)]
    assert (done.code, left) == (1, [0, 2, 3, 6, 7]), done.stderr
    assert "\x1b[31m" not in done.stdout + done.stderr
    document = json.loads(texts(tmp_path)["json"])
    rows = {row["project_id"]: row["message"] for row in document["discovery"]["failed"]}
    assert set(rows) == {IDS[0], ascii(f"{IDS[1]}\ud800")}
    assert rf"id '{GROUPS[0]}\ud800' is refused: " in rows[IDS[0]]
    assert document["targets"]["done"] == 3
    assert len(texts(tmp_path)["results"].splitlines()) == 3
    assert GROUPS[0] in texts(tmp_path)["html"]


@pytest.mark.parametrize("form", ["flag", "fleet file"])
async def test_the_command_takes_a_name_for_that_name_first(tmp_path: Path, form: str) -> None:
    """`--project 'eu-de_[prod]'`, and the same in a fleet file, is the project of that name, not `eu-de_p`."""
    async with Simulator(projects=4, groups=2, faults=[named("eu-de_[prod]", "eu-de_p", "eu-de_r")]) as sim:
        path = tmp_path / "fleet.toml"
        path.write_text(
            f'[accounts.a]\nendpoint = "{sim.url}"\niam_endpoint = "{sim.url}"\nprojects = ["eu-de_[prod]"]\n'
            'credential = { token_env = "OS_TOKEN" }\n'
        )
        one = ("--endpoint", sim.url, "--iam-endpoint", sim.url, "--project", "eu-de_[prod]")
        given = one if form == "flag" else ("--fleet", str(path))
        done = await run("clean", *given, "--yes", token=sim.token)
        assert done.code == 0, done.stderr
        assert {entry.project_id for entry in sim.log if entry.method == "DELETE"} == {IDS[0]}
