"""`repzone parse`: other formats than log lines, and the shapes of what no parser knew."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Run

REPORT = """\
Date: Tue, 24 Nov 2026 07:00:00 +0100
Content-Type: message/feedback-report

Feedback-Type: abuse
Source-IP: 192.0.2.7
"""
TRAPPED = """\
Received: from x (unknown [192.0.2.7]) by mx1.example.net (Postfix) with ESMTP id 4Z; Tue, 24 Nov 2026 08:00:00 +0100
Subject: Buy

"""
LINES = """\
2026-11-24T07:00:00+00:00 mx1 postfix/smtpd[1]: lost connection after RCPT from x[192.0.2.7]
2026-11-24T07:00:00+00:00 mx1 postfix/smtpd[1]: odd thing 1 from x[192.0.2.7]
2026-11-24T07:00:00+00:00 mx1 postfix/smtpd[1]: odd thing 2 from x[192.0.2.8]
2026-11-24T07:00:00+00:00 mx1 postfix/postscreen[1]: [rare]
2026-11-24T07:00:00+00:00 mx1 dovecot: odd password: hunter2
2026-11-24T07:00:00+00:00 mx1 kernel: odd
hello
"""


def test_reports_of_a_folder_are_shown(run_bare: Run, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "a").write_text("no report\n")
    (tmp_path / "spool" / "b").write_text(REPORT)
    done = run_bare("parse", "spool", "--format", "arf", "-o", "json")
    (event,) = done.objects
    assert (event["line"], event["at"], event["client"]) == (2, "2026-11-24T06:00:00Z", "192.0.2.7")
    assert (event["category"], event["reason"], event["component"]) == ("spam", "abuse_report", "arf")
    assert "spool: a: has no message/feedback-report part" in done.err


def test_a_mail_on_standard_input_is_shown(run_bare: Run) -> None:
    done = run_bare("parse", "-", "--format", "arf", text=REPORT)
    assert "192.0.2.7" in done.out
    assert "1 mail, 0 skipped." in done.err


def test_spamtraps_need_the_name_of_the_mx(run_bare: Run, tmp_path: Path) -> None:
    done = run_bare("parse", "-", "--format", "spamtrap", text=TRAPPED)
    assert (done.code, done.out) == (78, "")
    assert "spamtrap_mx: name the hosts that your traps get mail from" in done.err
    (tmp_path / "repzone.toml").write_text('spamtrap_mx = ["mx1.example.net"]\n')
    (event,) = run_bare("parse", "-", "--format", "spamtrap", "-o", "json", text=TRAPPED).objects
    assert (event["client"], event["reason"], event["at"]) == ("192.0.2.7", "spamtrap", "2026-11-24T07:00:00Z")


@pytest.mark.parametrize("name", ["mx1 example", "", "mx1..example.net", "a(b"])
def test_an_mx_that_is_no_host_name_is_refused(run_bare: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "repzone.toml").write_text(f'spamtrap_mx = ["{name}"]\n')
    done = run_bare("parse", "-", "--format", "spamtrap", text=TRAPPED)
    assert done.code == 78
    assert "spamtrap_mx" in done.err


def test_lines_can_be_restricted_to_one_component(run_bare: Run) -> None:
    for name, found in (("auto", 1), ("postfix", 1), ("dovecot", 0)):
        assert len(run_bare("parse", "-", "--format", name, "-o", "json", text=LINES).objects) == found


def test_a_log_of_three_years_without_years_is_shown_with_each_of_them(run_bare: Run, tmp_path: Path) -> None:
    days = [datetime(2023, 12, 31, tzinfo=UTC) + timedelta(days=100 * number) for number in range(9)]
    message = "mx1 postfix/smtpd[1]: lost connection after RCPT from x[192.0.2.7]"
    text = "\n".join(f"{day:%b %e %T} {message}" for day in days).encode()  # the last one without a newline
    log = tmp_path / "mail.log"
    log.write_bytes(text)
    os.utime(log, (days[-1].timestamp(),) * 2)
    found = run_bare("parse", str(log), "-o", "json", REPZONE_LOG_TIMEZONE="UTC").objects
    assert [(event["line"], event["at"]) for event in found] == [(n, f"{day:%FT%TZ}") for n, day in enumerate(days, 1)]


def test_a_format_that_is_none_is_named_with_those_there_are(run_bare: Run) -> None:
    done = run_bare("parse", "-", "--format", "nonsense")
    assert done.code == 2
    assert "'nonsense' is none of auto, amavis," in done.err


def test_unmatched_shows_the_shapes_most_frequent_first(run_bare: Run) -> None:
    done = run_bare("parse", "-", "--unmatched", "-o", "json", text=LINES)
    assert done.objects == [
        {"program": "postfix/smtpd", "count": 2, "shape": "odd thing <n> from x[<ip>]", "example_line": 2},
        {"program": "postfix/postscreen", "count": 1, "shape": "<…>", "example_line": 4},
        {"program": "dovecot", "count": 1, "shape": "odd password <…>", "example_line": 5},
    ]
    shown = run_bare("parse", "-", "--unmatched", "--format", "postfix", text=LINES)
    assert "odd thing <n> from x[<ip>]" in shown.out
    assert "dovecot" not in shown.out
    assert "7 lines: 3 of known programs that no parser knew, in 2 shapes, 1 of no known form, 0 skipped." in shown.err


def test_unmatched_is_for_log_lines(run_bare: Run) -> None:
    done = run_bare("parse", "-", "--unmatched", "--format", "arf")
    assert done.code == 2
    assert "--unmatched is for log lines" in done.err


def test_ingest_takes_each_mail_of_a_spool_once(run_process: Run, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "a").write_text(REPORT)
    (tmp_path / "spool" / "b").write_text("no report\n")
    for count in ({"spam": 1}, {}):
        done = run_process("ingest", "spool", "--format", "arf", "-o", "json", "--no-calculate")
        assert done.objects[0]["events"] == count
    assert "b: has no message/feedback-report part" in done.err
    assert run_process("ingest", "-", "--format", "arf", "--no-calculate", text=REPORT).code == 0
    assert run_process("ingest", "spool", "--format", "arf", "--follow").code == 2
