"""What rspamd logs, message by message."""

from __future__ import annotations

import pytest

from tests.logs.samples import check_line, check_sample, load_samples


@pytest.mark.parametrize(("wanted", "message"), load_samples("rspamd.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("rspamd[14]", wanted, message)


def test_its_own_log_has_no_host_and_no_program() -> None:
    lead = "2026-11-23 10:00:00.500 #1001(normal) <a1b2c3>; task; rspamd_task_write_log: "
    verdict = "id: <1@b.example>, qid: <3F2A1B0C9D>, ip: 192.0.2.7, (default: T (reject): [18.5/15.0] [X(9.0)]), len: 1"
    check_line("spam_rejected 192.0.2.7", lead + verdict)
