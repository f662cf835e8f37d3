"""The limits that a server showed, in words: what they are, and how to keep to them."""

from __future__ import annotations

import io
import shlex
import tomllib

import pytest
from rich.console import Console

from sdrs_async.formats import html
from sdrs_async.formats.limits import HEADING, Shown, shown
from sdrs_async.formats.text import print_summary
from sdrs_async.limits import Learned, Rate
from sdrs_async.report import Ledger

FIVE_MINUTES, PER_SECOND = Rate(200, 300), Rate(17)
TOLD = Learned("user", "prod", FIVE_MINUTES, told=True)
FOUND = Learned("project", "prod", PER_SECOND, told=False, projects=12)


def _shown(*learned: Learned, fleet_file: bool = False) -> Shown:
    what = shown(learned, fleet_file=fleet_file)
    assert what is not None
    return what


def test_nothing_learned_is_nothing_shown() -> None:
    """Most runs meet no limit that they did not know: their summary has no word about it."""
    assert shown([]) is None
    assert HEADING not in html.render(Ledger())


def test_a_limit_that_the_server_named_is_told_apart_from_one_that_was_found() -> None:
    """What a 429 said is certain; what was found by trying is said to be a guess that may change."""
    assert _shown(FOUND, TOLD).sentences == [
        "User rate of prod: 200/5min, as its 429 says",
        "Project rate, seen in 12 projects of prod: 17/s, found by trying: it may be a little off, and may change",
    ]


@pytest.mark.parametrize(
    ("learned", "sentence"),
    [
        (Learned("user", "", FIVE_MINUTES, told=True), "User rate: 200/5min, as its 429 says"),
        (Learned("project", "", PER_SECOND, told=True, projects=1), "Project rate, seen in 1 project: 17/s, as its"),
        (Learned("project", "a", PER_SECOND, told=True), "Project rate of a: 17/s, as its 429 says"),
        (Learned("endpoint", "https://h", PER_SECOND, told=True), "Rate of the endpoint https://h: 17/s, as its"),
    ],
)
def test_each_scope_has_its_words(learned: Learned, sentence: str) -> None:
    """An account that nobody named has no name in them."""
    assert _shown(learned).sentences[0].startswith(sentence)


def test_flags_keep_to_the_limits_of_one_account() -> None:
    """They are spelled as the command takes them, a burst too, which a shell would split."""
    endpoint = Learned("endpoint", "https://h", Rate(100, 1.0, 20), told=True)
    what = _shown(TOLD, FOUND, endpoint)
    assert what.purpose == "To keep to them from the start, with these flags:"
    (line,) = what.lines
    words = shlex.split(line)
    assert words == ["--endpoint-rate", "100/s burst 20", "--user-rate", "200/5min", "--project-rate", "17/s"]
    assert [Rate.parse(word) for word in words[1::2]] == [endpoint.rate, FIVE_MINUTES, PER_SECOND]
    assert _shown(TOLD).purpose == "To keep to it from the start, with this flag:"


def test_lines_of_a_fleet_file_keep_to_the_limits_of_its_accounts() -> None:
    """Where the accounts come from a file, flags would hold for all of them: each has its own lines, as TOML has it."""
    other = Learned("user", 'the "other" one', PER_SECOND, told=True)
    what = _shown(TOLD, FOUND, other, fleet_file=True)
    assert what.purpose == "To keep to them from the start, in the fleet file, under their headings:"
    assert tomllib.loads("\n".join(what.lines)) == {
        "accounts": {
            "prod": {"limits": {"user_rate": "200/5min", "project_rate": "17/s"}},
            'the "other" one': {"limits": {"user_rate": "17/s"}},
        }
    }
    endpoint = Learned("endpoint", "https://h", PER_SECOND, told=True)
    lines = _shown(endpoint, TOLD, fleet_file=True).lines
    assert lines[-1] == '# in one account at https://h: limits.endpoint_rate = "17/s"'
    assert tomllib.loads("\n".join(lines)) == {"accounts": {"prod": {"limits": {"user_rate": "200/5min"}}}}


@pytest.mark.parametrize(
    ("second", "in_file"),
    [
        (Learned("user", "test", PER_SECOND, told=True), True),
        (Learned("project", "test", PER_SECOND, told=True), True),
        (Learned("project", "prod", PER_SECOND, told=True), False),
        (Learned("endpoint", "https://h", PER_SECOND, told=True), False),
    ],
)
def test_several_accounts_can_only_come_from_a_file(second: Learned, in_file: bool) -> None:
    """A flag would slow down the account that was not throttled."""
    assert ("fleet file" in _shown(TOLD, second).purpose) is in_file


def test_projects_that_found_different_rates_are_one_sentence() -> None:
    """Each project tries for itself: the span is shown, and the lowest is what all of them bear."""
    rates = (Rate(17), Rate(33, 2.0), Rate(9), Rate(12))
    what = _shown(*(Learned("project", "prod", rate, told=False, projects=2) for rate in rates))
    (sentence,) = what.sentences
    assert sentence.startswith("Project rate, seen in 8 projects of prod: from 9/s to 17/s, found by trying")
    assert what.lines == ["--project-rate 9/s"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("fleet_file", [False, True])
def test_summary_and_page_show_them(width: int, fleet_file: bool) -> None:
    """Both have a part for them, whole at any width, and what a server or a file named is no markup."""
    report = Ledger()
    hostile = "<b>[red]\x1b[31m"
    report.add_learned((Learned("user", hostile, FIVE_MINUTES, told=True), FOUND))
    file = io.StringIO()
    print_summary(report, Console(file=file, width=width), fleet_file=fleet_file)
    text = file.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert f"{HEADING} User rate of <b>[red]?[31m: 200/5min, as its 429 says" in " ".join(text.split())
    assert "limits.user_rate" in text  # two accounts
    page = html.render(report, fleet_file=fleet_file)
    assert "User rate of &lt;b&gt;[red]?[31m: 200/5min" in page
    assert "limits.project_rate = &#34;17/s&#34;" in page


def test_a_fleet_with_one_account_gets_lines_too() -> None:
    """The command knows where its accounts come from, and says so to summary and page."""
    report = Ledger()
    report.add_learned((TOLD,))
    for fleet_file, word in ((False, "--user-rate 200/5min"), (True, "[accounts.prod]")):
        file = io.StringIO()
        print_summary(report, Console(file=file, width=80), fleet_file=fleet_file)
        assert word in file.getvalue()
        assert word in html.render(report, fleet_file=fleet_file)


def test_one_heading_of_a_fleet_file_is_named_as_the_one_that_is_there() -> None:
    """A heading twice is no TOML: the words say that the lines go under it; a comment alone needs none."""
    purpose = "To keep to it from the start, in the fleet file"
    assert _shown(TOLD, fleet_file=True).purpose == f"{purpose}, under its heading:"
    endpoint = Learned("endpoint", "https://h", PER_SECOND, told=True)
    assert _shown(endpoint, fleet_file=True).purpose == f"{purpose}:"
