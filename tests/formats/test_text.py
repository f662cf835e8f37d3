"""The summary on a terminal, and the JSON file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from sdrs_async.formats import wording
from sdrs_async.formats.json import write as write_json
from sdrs_async.formats.text import print_summary
from sdrs_async.limits import Limits
from sdrs_async.models import Outcome, ProjectLevel, Target, Verdict
from sdrs_async.pace.floor import Scopes
from sdrs_async.report import Ledger, Report, Unlisted, failure_line

HOSTILE = "[red]not[/red] [link=http://x]markup[/] :smile: \x1b[31m\x07\u202e"


def _group(number: int) -> str:
    return f"{number:08x}-87fe-403a-8721-037a1a45c287"


def _project(number: int) -> str:
    return f"{number:032x}"


def _add(report: Ledger, verdict: Verdict, project: int = 1, group: int = 1, **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"attempts": 1, "elapsed": 0.02, "latency": 0.02}
    outcome = Outcome(Target(_project(project), _group(group)), verdict, **(defaults | fields))
    report.add(outcome)
    return outcome


def _shown(report: Report, width: int = 80, exit_code: int | None = None, **keywords: Any) -> str:
    file = io.StringIO()
    print_summary(report, Console(file=file, width=width, **keywords), exit_code=exit_code)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _mixed() -> Ledger:
    report = Ledger(Limits(), run_id="f" * 32, clock=lambda: 0.0)
    for project in range(1, 21):
        for group in range(50):
            _add(report, Verdict.DELETED, project, group, status_code=204)
        _add(report, Verdict.GONE, project, 50, status_code=404)
        for group in range(project):
            _add(report, Verdict.TRANSIENT, project, 100 + group, status_code=503, error_code="SDRS.0013", attempts=5)
    _add(report, Verdict.UNREACHABLE, 1, 200, message="reset by peer", request_id="e" * 32, latency=None)
    _add(report, Verdict.SKIPPED, 2, 201, message="not sent: the credential was refused", attempts=0, latency=None)
    report.add_access(True, False, {})
    report.add_unsettled("", _project(3), 7)
    report.add_duplicates(2)
    return report


@pytest.mark.parametrize("width", [80, 140])
def test_the_summary_shows_everything_that_a_run_comes_to(width: int) -> None:
    """Totals, status codes in words, projects, causes with what to do, requests, latency, speed and the result."""
    text = _shown(_mixed(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    text = " ".join(text.split())
    for expected in (
        "1,239 groups in 20 projects: 1,000 deleted, 20 already gone, 211 failed, 1 skipped, 7 unsettled "
        "(2 duplicates left out)",
        "503 210 the service is not available",
        "none 1 no answer",
        "210 x transient SDRS.0013",
        "run again later",
        "1 x skipped: not sent: the credential was refused",
        "Requests 2,071 sent, 840 of them repeats; 0 throttled",
        "99% within 20.0 ms, longest 20.0 ms",
        "the rate per project (--project-rate)",
        "not every group is clean (exit code 1)",
    ):
        assert expected in text


def test_the_worst_projects_come_first_and_the_rest_as_a_sum() -> None:
    """At most 15 projects, those with most failures first; one line adds up the others."""
    lines = _shown(_mixed()).splitlines()
    start = lines.index("Projects, the worst first")
    table = [line.split() for line in lines[start + 1 : lines.index("", start)]]
    assert table[0] == ["project", "groups", "done", "gone", "failed", "skipped", "unsettled"]
    assert table[1:3] == [
        [_project(20), "71", "50", "1", "20", "0", "0"],
        [_project(19), "70", "50", "1", "19", "0", "0"],
    ]
    assert table[-1] == ["and", "5", "more", "279", "250", "5", "16", "1", "7"]
    assert len(table) == 1 + 15 + 1


def test_columns_of_zeros_are_left_out_and_times_need_room() -> None:
    """Without skipped and unsettled ones there are no such columns; from 100 columns on, times are shown."""
    report = Ledger(clock=lambda: 0.0)
    _add(report, Verdict.DELETED, status_code=204, elapsed=83.0)
    assert "skipped" not in _shown(report)
    assert "1 min 23 s" not in _shown(report)
    assert "1 min 23 s" in _shown(report, 100)


def _of_accounts(*accounts: str) -> Ledger:
    """The same two projects with each account, one of whose groups failed."""
    report = Ledger(clock=lambda: 0.0)
    report.add_access(True, False, {})
    for account in accounts:
        _add(report, Verdict.REJECTED, 1, 1, status_code=400, account=account)
        _add(report, Verdict.DELETED, 2, 1, status_code=204, account=account)
    return report


@pytest.mark.parametrize("account", ["prod", "a cloud with a name that is longer than most, and has blanks"])
@pytest.mark.parametrize("width", [80, 99])
def test_of_several_accounts_projects_and_failures_name_their_own(account: str, width: int) -> None:
    """The same id with two accounts is two rows, whose ids stay whole at 80 columns; a nameless account has none."""
    text = _shown(_of_accounts(account, "clone"), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "account and project" in text
    assert text.count(_project(1)) == 4
    words = " ".join(text.split())
    for name in (account, "clone"):
        assert f"{name}: {_project(1)}/{_group(1)}" in words
        assert next(line.split()[-4:] for line in text.splitlines() if line.startswith(f"  {name[:12]}")) == [*"1001"]
    assert f"  {_project(1)}   " in _shown(_of_accounts("", "clone"))


def test_one_account_is_not_named() -> None:
    """There is nobody to tell it from: the summary is that of a run without a name."""
    named, nameless = (_shown(_of_accounts(account)).rsplit("\nRun ", 1)[0] for account in ("prod", ""))
    assert "prod" not in named
    assert named == nameless


@pytest.mark.parametrize("width", [30, 50, 80, 140])
def test_no_id_is_ever_cut(width: int) -> None:
    """An id that does not fit goes on in the next line; nothing is replaced by an ellipsis."""
    report = Ledger()
    _add(report, Verdict.REJECTED, status_code=400)
    text = _shown(report, width)
    assert "\u2026" not in text
    joined = re.sub(r"\s", "", text)
    assert f"{_project(1)}/{_group(1)}" in joined
    if width >= 80:
        assert f"{_project(1)}/{_group(1)}" in text


def test_three_examples_of_a_cause_are_named() -> None:
    """The first three groups of a cause with their request ids, then how many more."""
    report = Ledger()
    for group in range(5):
        _add(report, Verdict.FORBIDDEN, group=group, status_code=403, request_id=f"req-{group}")
    text = _shown(report, 140)
    assert [f"{_group(group)} (request req-{group})" in text for group in range(5)] == [True] * 3 + [False] * 2
    assert "    and 2 more" in text.splitlines()


def test_many_causes_are_cut_to_the_most_frequent() -> None:
    """A service that invents codes does not flood the terminal."""
    report = Ledger()
    for number in range(13):
        _add(report, Verdict.REJECTED, group=number, status_code=400, error_code=f"X.{number:04d}")
    text = _shown(report)
    assert "X.0009" in text
    assert "X.0010" not in text
    assert "and 3 more, of 3 other causes" in text


def test_what_a_server_sends_is_never_markup() -> None:
    """Markup, emoji names, escape sequences and direction marks from outside are shown, not obeyed."""
    report = Ledger()
    report.add(Outcome(Target(HOSTILE, HOSTILE), Verdict.REJECTED, 400, HOSTILE, HOSTILE, HOSTILE, 1))
    shown = _shown(report, 1000)
    assert "\x1b" not in shown
    # In the table of projects, and as code, message, project, group and request of the failure.
    assert shown.count("[red]not[/red] [link=http://x]markup[/] :smile: ?[31m??") == 6
    colored = _shown(report, 300, force_terminal=True, color_system="standard")
    assert not {"\x07", "\u202e"} & set(colored)


def test_a_long_message_is_cut() -> None:
    """The file has the whole message, the terminal its beginning."""
    report = Ledger()
    _add(report, Verdict.REJECTED, status_code=400, message="m" * 500)
    assert "m" * 197 + "..." in re.sub(r"\s", "", _shown(report))


def test_the_summary_is_plain_ascii_without_colors_outside_a_terminal() -> None:
    """In a log there are no escape sequences, lines or signs that another encoding would break."""
    assert _shown(_mixed()).isascii()
    assert "\x1b" not in _shown(_mixed())
    assert "\x1b[1" in _shown(_mixed(), force_terminal=True, color_system="standard")


def test_an_empty_run_says_so() -> None:
    """Nothing selected is a success that must not look like one."""
    text = _shown(Ledger())
    assert "0 groups in 0 projects" in text
    assert "nothing was selected" in text
    assert "0 sent" in text
    assert "Speed" not in text
    assert "Status codes" not in text


def test_a_clean_run_says_so() -> None:
    """All deleted is one short page without causes."""
    report = Ledger(Limits(), clock=lambda: 0.0)
    _add(report, Verdict.DELETED, status_code=204)
    text = _shown(report)
    assert "every group is clean (exit code 0)" in text
    assert "What is not clean" not in text


def test_a_merged_report_says_of_how_many_runs() -> None:
    """The summary of several runs names their number, and claims no efficiency for their time together."""
    reports = [Ledger(Limits(), run_id=name) for name in "ab"]
    for report in reports:
        _add(report, Verdict.DELETED, status_code=204)
        report.finish()
    assert "efficiency" in _shown(reports[0])
    text = _shown(reports[0].merge(reports[1]), 120)
    assert "(2 runs merged)" in text
    assert "from the first start to the last end" in text
    assert "efficiency" not in text


def test_where_nothing_was_answered_no_speed_is_shown() -> None:
    """A run that reached nobody says so, and is not compared with what the limits permit."""
    report = Ledger(Limits())
    _add(report, Verdict.UNREACHABLE, latency=None)
    assert "no deletion was answered" in _shown(report)
    assert "Speed" not in _shown(report)


def test_answered_reads_are_no_deletions() -> None:
    """Where all that was answered were reads, it is the deletions that got no answer, or were not sent."""
    report = Ledger()
    report.add_reads(301, 0)
    assert re.search(r"Latency +no deletion was sent", _shown(report))
    _add(report, Verdict.UNREACHABLE, latency=None)
    assert re.search(r"Latency +no deletion was answered", _shown(report))


def _of_prod() -> Ledger:
    """Two accounts at an endpoint each; nothing was found with the first."""
    limits = {"prod": Limits(), "test": Limits()}
    report = Ledger(Scopes(limits, {"prod": "https://a\u202e", "test": "https://b"}), clock=lambda: 0.0)
    report.add_access(True, False, {})
    for group in range(3):
        _add(report, Verdict.GONE, group=group, status_code=404, account="prod")
    return report


@pytest.mark.parametrize("width", [80, 140])
def test_a_suspected_endpoint_is_named_and_nothing_is_called_clean(width: int) -> None:
    """Nothing but 404s without an error code: what to check, and a result that claims nothing."""
    report = _of_prod()
    text = _shown(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\u202e" not in text
    text = " ".join(text.split())
    for expected in (
        "3 groups in 1 project: 0 deleted, 3 already gone",
        "404 3 not found: nothing was left to delete, or the wrong endpoint",
        "3 x gone: all 3 answers were 404s without an error code of the service for account prod, as any wrong",
        "Check that https://a? is the SDRS host",
        "Result nothing was cleaned: 1 account got nothing but 404s: is this the endpoint? (exit code 1)",
    ):
        assert expected in text
    assert "is clean" not in text


def test_beside_a_suspected_account_the_others_are_clean() -> None:
    """What was seen of them is said, with what is in doubt."""
    report = _of_prod()
    _add(report, Verdict.DELETED, 2, 1, status_code=204, account="test")
    text = " ".join(_shown(report).split())
    assert "what was seen is clean, but 1 account got nothing but 404s: is this the endpoint? (exit code 1)" in text
    assert "every group is clean" not in text


@pytest.mark.parametrize(
    ("answers", "meaning"),
    [
        ([(400, "SDRS.0201", Verdict.REJECTED)], "bad request (SDRS.0201)"),
        ([(400, "SDRS.1013", Verdict.GONE)], "SDRS.1013: the group is gone"),
        ([(400, None, Verdict.REJECTED)], "bad request"),
        (
            [(400, None, Verdict.REJECTED), (400, "SDRS.1013", Verdict.GONE), (400, "SDRS.0207", Verdict.REJECTED)],
            "2 x bad request (SDRS.0207); 1 x SDRS.1013: the group is gone",
        ),
        ([(400, "SDRS.0004", Verdict.FORBIDDEN)], "SDRS.0004: no permission in this project"),
        ([(500, "SDRS.0009", Verdict.FORBIDDEN)], "SDRS.0009: no permission in this project"),
        ([(404, "APIGW.0101", Verdict.REJECTED)], "APIGW.0101: a wrong endpoint"),
        ([(404, "SDRS.2206", Verdict.GONE)], "not found: nothing was left to delete (SDRS.2206)"),
        ([(503, "IAM.0012", Verdict.THROTTLED)], "IAM.0012: throttled"),
        ([(200, None, Verdict.DELETED), (200, None, Verdict.REJECTED)],
         "1 x deleted; 1 x no answer of the service, nothing deleted"),
        ([(200, "APIG.0301", Verdict.UNAUTHORIZED)], "APIG.0301: the credential was refused"),
        (
            [(400, f"SDRS.{number}", Verdict.REJECTED) for number in range(1020, 1025)],
            "bad request (SDRS.1020, SDRS.1021, SDRS.1022, ...)",
        ),
        (
            [(500, f"SDRS.000{number}", Verdict.FORBIDDEN) for number in range(1, 6)],
            "1 x SDRS.0001: no permission in this project; 1 x SDRS.0002: no permission in this project; "
            "1 x SDRS.0003: no permission in this project; 2 x with other codes",
        ),
        ([(400, "X\u202e.1", Verdict.REJECTED)], "bad request"),
    ],
)  # fmt: skip
def test_a_status_is_explained_by_the_codes_that_came_under_it(
    answers: list[tuple[int, str | None, Verdict]], meaning: str
) -> None:
    """No code is spoken of that was not there, and what a code says otherwise goes before what its status says."""
    report = Ledger()
    for group, (status, code, verdict) in enumerate(answers):
        _add(report, verdict, group=group, status_code=status, error_code=code)
    document = report.to_dict()
    assert [wording.status_meaning(key, document) for key in document["status_codes"]] == [meaning]
    del document["answers"]
    document["accounts"]["signed_in"] = True
    old = Report.from_dict(document).to_dict()
    assert "SDRS" not in wording.status_meaning(next(iter(old["status_codes"])), old)


def test_latencies_that_a_document_lacks_are_not_known() -> None:
    """A report without the counts behind its quantiles does not say that nobody answered."""
    document = _mixed().to_dict()
    del document["latency_buckets"]
    assert re.search(r"Latency +not known", _shown(Report.from_dict(document)))


def test_an_error_is_in_the_summary() -> None:
    """What stopped a run is shown wherever its report is; an output that failed after it is told apart."""
    report = Ledger()
    assert "an output could not be written (exit code 2)" in " ".join(_shown(report, exit_code=2).split())
    report.fail("--results: x cannot be written\x1b")
    text = " ".join(_shown(report).split())
    assert "Error --results: x cannot be written? Result stopped by an error (exit code 2)" in text


def test_examples_are_those_of_their_cause() -> None:
    """Two causes that share verdict and code, one of them the certificate's, name their own groups."""
    report = Ledger()
    _add(report, Verdict.UNREACHABLE, group=1, message="refused", latency=None)
    _add(report, Verdict.UNREACHABLE, group=2, message="certificate verify failed", latency=None)
    parts = _shown(report, 140).split("1 x unreachable: ")
    assert [part.splitlines()[0] for part in parts[1:]] == ["refused", "certificate verify failed"]
    assert [[_group(group) in part for group in (1, 2)] for part in parts[1:]] == [[True, False], [False, True]]


# ---- the project level, what was not listed, accounts


def _level(verdict: Verdict, project: int = 1, **fields: Any) -> Outcome:
    return Outcome(ProjectLevel(_project(project)), verdict, attempts=1, elapsed=0.02, latency=0.02, **fields)


@pytest.mark.parametrize("width", [80, 120])
def test_the_project_level_is_a_row_of_its_own(width: int) -> None:
    """Groups are counted without it, in the totals and in the projects; its name says what it cleans."""
    report = Ledger(Limits(), clock=lambda: 0.0)
    for group in range(3):
        _add(report, Verdict.DELETED, group=group, status_code=204)
    for project in (1, 2):
        report.add(_level(Verdict.DELETED, project, status_code=204))
    report.add(_level(Verdict.CONFLICT, 3, status_code=409, request_id="req-9"))
    text = _shown(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for expected in (
        "3 groups in 3 projects: 3 deleted; project level of 3 projects: 2 deleted, 1 failed",
        "code targets meaning 204 5 deleted",
        f"{_project(1)} 3 3 0 0",
        f"{_project(3)} (project level) (request req-9)",
        "some groups or project levels failed, all for reasons that may pass",
    ):
        assert expected in " ".join(text.split())
    assert f"{_project(2)} " not in text  # it has no groups
    row = text[text.index("  project level: ") : text.index("What is not clean")]
    name = " ".join(re.sub(r"3 +2 +0 +1", "", row).replace("0.02 s", "").split())
    assert name == "project level: failed creations and deletions of groups themselves"


@pytest.mark.parametrize(
    ("verdict", "result"),
    [(Verdict.DELETED, "every group and project level is clean"), (Verdict.REJECTED, "not every group and project")],
)
def test_the_result_speaks_of_the_project_level_where_it_was_asked_for(verdict: Verdict, result: str) -> None:
    """Whether the failed creations and deletions of groups are gone is part of the result."""
    report = Ledger()
    report.add(_level(verdict, status_code=204))
    assert f"Result {result}" in " ".join(_shown(report).split())


def _unlisted(number: int, verdict: Verdict = Verdict.FORBIDDEN) -> Unlisted:
    return Unlisted(_project(number), "prod", verdict, 400, "SDRS.0004", "no permission")


@pytest.mark.parametrize("width", [80, 120])
def test_what_was_not_listed_is_shown_with_what_to_do(width: int) -> None:
    """What happened and its remedy once for all that share it, each with its account; the result is no clean one."""
    report = Ledger()
    _add(report, Verdict.DELETED, status_code=204)
    report.discovery.add(_unlisted(2))
    report.discovery.add(_unlisted(3))
    report.discovery.add(Unlisted(_project(4), "", Verdict.INCOMPLETE, 200, message="no new id after 999 groups"))
    report.discovery.add(Unlisted(None, "test", Verdict.TRANSIENT, 503))
    report.discovery.add(Unlisted(None, "", Verdict.UNREACHABLE, message="no such host"))
    text = _shown(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    text = " ".join(text.split())
    for expected in (
        "Not (wholly) listed unreachable: no such host Check --iam-endpoint",
        f"delete the rest with --targets. project {_project(4)} forbidden SDRS.0004: no permission Give",
        f"then run again. project {_project(2)} of account prod project {_project(3)} of account prod transient 503",
        "then run again. the account incomplete: no new id after 999 groups",
        "name the request ids. account test Requests",
        "Result what was seen is clean, but 3 projects and 2 accounts were not (wholly) listed (exit code 1)",
    ):
        assert expected in text
    assert "every group is clean" not in text


def test_the_first_15_that_were_not_listed_are_named() -> None:
    """A fleet without permission does not flood the terminal; of the rest, the kinds are counted."""
    report = Ledger()
    for number in range(18):
        report.discovery.add(_unlisted(number))
    for number in range(18, 20):
        report.discovery.add(_unlisted(number, Verdict.INCOMPLETE))
    text = _shown(report)
    assert text.count("of account prod") == 15
    assert "and 5 more: 3 forbidden, 2 incomplete" in text
    assert "nothing was cleaned: 20 projects were not (wholly) listed" in " ".join(text.split())


def test_a_refused_account_is_shown_with_what_to_do() -> None:
    """Each by its name and reason, the first 15 of them; an account is not counted as unlisted besides."""
    report = Ledger()
    report.add_access(True, False, {})
    _add(report, Verdict.SKIPPED, attempts=0, latency=None)
    report.add_access(False, False, {"prod": "signature failed"})
    report.discovery.add(Unlisted(None, "prod", Verdict.UNAUTHORIZED, 401, "APIGW.0301", "signature failed"))
    report.discovery.add(_unlisted(1))
    text = " ".join(_shown(report).split())
    assert "account prod: the credential was refused (signature failed) Check access key" in text
    assert "Its projects were skipped." in text
    assert "not every group is clean; 1 project was not (wholly) listed; 1 account was refused (exit code 1)" in text
    report.add_access(False, False, {f"a{number:02}": "" for number in range(16)})
    text = " ".join(_shown(report).split())
    assert "account a14: the credential was refused Check" in text
    assert "account a15" not in text
    assert "Its projects were skipped. and 2 more" in text
    assert "17 accounts were refused" in text


def test_names_from_outside_are_never_markup_here_either() -> None:
    """Accounts, projects and messages of lists are shown, not obeyed."""
    report = Ledger()
    report.add_access(False, False, {HOSTILE: HOSTILE})
    report.discovery.add(Unlisted(HOSTILE, HOSTILE, Verdict.FORBIDDEN, 403, HOSTILE, HOSTILE))
    shown = _shown(report, 1000)
    assert "\x1b" not in shown
    assert shown.count("[red]not[/red] [link=http://x]markup[/] :smile: ?[31m??") == 6


def test_reads_and_lists_are_among_the_facts() -> None:
    """What was listed, and how many requests only read, are said where there are any."""
    report = Ledger()
    assert "read" not in _shown(report)
    assert "Listed" not in _shown(report)
    report.add_reads(1, 0)
    report.discovery.add_listed(0, projects=2)
    text = " ".join(_shown(report, 120).split())
    assert "Listed 0 groups in 2 projects Requests 0 sent, 0 of them repeats; 0 throttled; 1 read (lists" in text
    assert "no group was found, so nothing was done (exit code 0)" in text


def test_sign_ins_are_among_the_requests() -> None:
    """How many there were, and how many of them IAM throttled and refused; no word of them where there were none."""
    report = Ledger()
    assert "sign-in" not in _shown(report)
    report.add_sign_ins(1)
    assert "0 throttled; 1 sign-in Latency" in " ".join(_shown(report, 120).split())
    report.add_sign_ins(4, 2, 1)
    assert "0 throttled; 5 sign-ins, 2 throttled by IAM, 1 refused Latency" in " ".join(_shown(report, 120).split())


# ---- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.254, "0.25 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_times_are_written_as_one_reads_them(seconds: float, text: str) -> None:
    """The unit fits the length, and rounding never gives 60 seconds."""
    assert wording.duration(seconds) == text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 407, 408, 409, 429, 500, 501, 502, 503, 504])
def test_every_documented_status_has_words_of_its_own(status: int) -> None:
    """Each status of the vendor's page, and 429, says more than its class does."""
    assert wording.status_meaning(str(status)) != wording.status_meaning(f"{str(status)[0]}99")


def test_unknown_statuses_are_named_by_their_class() -> None:
    """A status that nobody documented still gets words."""
    assert wording.status_meaning("302") == "redirect, not followed"
    assert wording.status_meaning("999") == "not a known status"


def test_signals_without_words_are_named_by_number() -> None:
    """Any other signal is still told apart."""
    assert wording.exit_meaning(137, Ledger().to_dict()) == "ended by signal 9"


# ---- JSON


def _written(report: Report, failures: Any = None) -> dict[str, Any]:
    file = io.StringIO()
    write_json(report, file, failures=failures)
    document: dict[str, Any] = json.loads(file.getvalue())
    return document


def _discovered() -> Ledger:
    report = _mixed()
    report.add(_level(Verdict.REJECTED, status_code=400))
    report.discovery.add_listed(1239, projects=20)
    report.discovery.add(_unlisted(30))
    report.add_access(False, False, {"prod": "signature failed"})
    report.add_reads(60, 0)
    return report


@pytest.mark.parametrize(
    "report", [Ledger(clock=lambda: 0.0), _mixed(), _discovered()], ids=["empty", "mixed", "discovered"]
)
def test_the_file_holds_the_report(report: Report) -> None:
    """What is written is the report as it is, and can be read back."""
    document = _written(report)
    assert document == report.to_dict()
    assert Report.from_dict(document).to_dict() == document


def test_the_file_holds_every_failure_that_is_handed_in() -> None:
    """Failures that memory left out are in the file, none is omitted, and they are taken one by one."""
    report = Ledger(max_failures=2, clock=lambda: 0.0)
    failed = [_add(report, Verdict.REJECTED, group=number, status_code=400) for number in range(50)]
    taken = []

    def spooled() -> Iterator[dict[str, Any]]:
        for outcome in failed:
            taken.append(file.tell())
            yield failure_line(outcome)

    file = io.StringIO()
    write_json(report, file, failures=spooled())
    document = json.loads(file.getvalue())
    assert [one["server_group_id"] for one in document["failures"]] == [_group(number) for number in range(50)]
    assert document["failures_omitted"] == 0
    assert report.to_dict()["failures_omitted"] == 48
    assert len(set(taken)) == 50
    assert len(Report.from_dict(document).to_dict()["failures"]) == 50


def test_the_file_says_how_many_failures_are_still_missing() -> None:
    """A spool that was cut is not passed off as complete."""
    report = Ledger(clock=lambda: 0.0)
    failed = [_add(report, Verdict.REJECTED, group=number, status_code=400) for number in range(5)]
    document = _written(report, [failure_line(failed[0])])
    assert (len(document["failures"]), document["failures_omitted"]) == (1, 4)
