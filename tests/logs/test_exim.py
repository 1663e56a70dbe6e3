"""What Exim logs, message by message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import DATA, REFERENCE, check_line, check_sample, load_samples, new_reader, read_all
from tests.logs.test_injection import CLIENT, VICTIM, fill


@pytest.mark.parametrize(("wanted", "message"), load_samples("exim.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("exim[77]", wanted, message)


@pytest.mark.parametrize(
    "lead",
    [
        "2026-11-23 10:00:00 ",
        "2026-11-23 10:00:00 [77] ",
        "2026-11-23 10:00:00.123 +0100 [77] ",
        "mx1 exim[77]: 2026-11-23 10:00:00 ",
        "Nov 23 10:00:00 mx1 exim[77]: 2026-11-23 10:00:00 [77] ",
        "2026-11-23T10:00:00.5+01:00 mx1 exim4[77]: ",
    ],
)
def test_a_line_is_read_in_exim_s_own_log_and_in_syslog(lead: str) -> None:
    check_line(
        "relay_denied 192.0.2.7",
        f"{lead}H=(srv) [192.0.2.7] F=<a@b.example> rejected RCPT <x@c.example>: relay not permitted",
    )


def test_without_a_pid_a_session_is_a_client_s_five_minutes() -> None:
    """Exim names the process only where `log_selector = +pid` is set, or in syslog."""
    told = "2026-11-23 10:{}:00 H=(srv) [192.0.2.7] {}"
    failed, refused = (
        "sender verify fail for <a@b.example>: no",
        "F=<a@b.example> rejected RCPT <x@c.example>: Sender verify failed",
    )
    lines = [told.format(minute, text) for minute in ("01", "09") for text in (failed, refused)]
    assert read_all(new_reader(), lines) == ["1 sender_verify_failed 192.0.2.7", "3 sender_verify_failed 192.0.2.7"]


@pytest.mark.parametrize("sender", [f"> H=[{VICTIM}]", f"a@b.example H=[{VICTIM}]"])
def test_a_message_comes_from_nobody_where_two_hosts_are_named(sender: str) -> None:
    text = f"1Unmew-0000ea-SE <= {sender} H=( H=[{VICTIM}] P=esmtpsa S=1 id=x) [{CLIENT}] P=esmtp S=811"
    assert list(new_reader().read(f"2026-11-23 10:00:00 {text}".encode(), 1, REFERENCE)) == []


@pytest.mark.parametrize("lead", ["2026-11-23 10:00:00 ", "2026-11-23T10:00:00.5+01:00 mx1 exim[77]: "])
def test_a_line_that_may_have_lost_its_end_names_nobody_behind_a_client_s_own_text(lead: str) -> None:
    text = "x" * 8_000
    check_line("-", f'{lead}SMTP syntax error in "{text}" H=[198.51.100.254] unrecognized command')
    check_line("-", f"{lead}H=(x) [198.51.100.254] F=<a@b.example> rejected RCPT <x@c.example>: {text}")
    check_line("client_denied 192.0.2.7", f'{lead}H=[192.0.2.7] rejected connection in "connect" ACL: {text}')


PIECES = (
    f") [{VICTIM}]",
    f") [{VICTIM}]:25 I=[203.0.113.1]:25",
    f" H=[{VICTIM}]",
    f'" H=(x) [{VICTIM}] unrecognized command',
    f'" H=[{VICTIM}] AUTH command used when not advertised',
    f"> H=[{VICTIM}]",
    f">H=[{VICTIM}]",
    f'" from [{VICTIM}]',
    f" (host=x [{VICTIM}]) for ",
    " F=<a@b.example> rejected RCPT <c@d.example>: no ",
    "> A=plain:x rejected RCPT <c@d.example>: ",
    ": listed at bl.example.net",
    ">: listed at bl.example.net ",
    "see https://postmaster.example.net/?ip=192.0.2.7",
    ": 535 Incorrect authentication data (set_id=",
    " dropped: too many nonmail commands",
    " closed by DROP in ACL",
    " P=esmtpsa S=1 id=x",
    " D=1s A=x",
    ' DN="',
    '"',
    "(",
    ")",
    " ",
    "x",
)
TEMPLATES = (DATA / "injection" / "exim.txt").read_text().splitlines()
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), min_size=4, max_size=4)


@settings(max_examples=500)
@given(template=st.sampled_from(TEMPLATES), texts=TEXTS)
def test_no_text_in_exim_s_own_grammar_names_another_or_makes_a_hit(template: str, texts: list[str]) -> None:
    for outcome in new_reader().read(fill(template, texts), 1, REFERENCE):
        assert outcome.client.to_text() == CLIENT
        assert not isinstance(outcome, Hit)
