"""What Dovecot logs, message by message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs import dovecot
from repzone.logs.syslog import Header
from tests.logs.samples import check_line, check_sample, load_samples, new_reader, put_header, read_all


@pytest.mark.parametrize(("wanted", "message"), load_samples("dovecot.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("dovecot", wanted, message)


@pytest.mark.parametrize("program", ["auth", "auth-worker", "dovecot-auth"])
def test_pam_writes_under_the_name_of_the_process(program: str) -> None:
    message = (
        "pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=a rhost=192.0.2.7"
    )
    check_sample(f"{program}[14]", "auth_failed 192.0.2.7", message)


def test_the_level_came_first_in_its_own_log_before_2_0() -> None:
    line = "Nov 23 10:00:00 Info: auth(default): passwd-file(anna,::ffff:192.0.2.7): unknown user"
    check_line("auth_unknown_user 192.0.2.7", line)


def test_a_login_service_may_log_under_its_own_name() -> None:
    message = "Disconnected (auth failed, 1 attempts): user=<anna>, method=PLAIN, rip=192.0.2.7, lip=203.0.113.1"
    check_sample("imap-login[14]", "auth_failed 192.0.2.7", message)


@pytest.mark.parametrize(("wanted", "message"), [sample for sample in load_samples("dovecot.txt") if sample[0] != "-"])
def test_neither_password_nor_login_name_becomes_evidence(wanted: str, message: str) -> None:
    fact = dovecot.parse(Header(0, "mx1", "dovecot", "", message))
    assert fact is not None
    assert not any(word in fact.detail for word in ("secret", "f638ff", "anna"))


def test_a_line_longer_than_dovecot_writes_is_not_read() -> None:
    check_sample("dovecot[14]", "-", f"auth: sql({'x' * 5_000},192.0.2.7,<a>): unknown user")


@given(st.data())
def test_attempts_count_as_often_as_they_were_made_in_whatever_order(data: st.DataObject) -> None:
    """Auth tells some attempts, each session's end all of them; the lines of different processes may change places."""
    sessions = data.draw(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5))
    lines = []
    for number, (attempts, told) in enumerate(sessions):
        lines += [f"auth: sql(anna,192.0.2.7,<s{number}>): unknown user"] * (attempts if told else 0)
        lines.append(
            f"imap-login: Disconnected (auth failed, {attempts} attempts in 9 secs): user=<anna>, method=PLAIN, "
            f"rip=192.0.2.7, lip=203.0.113.1, session=<s{number}>"
        )
    shuffled = [put_header("dovecot", line) for line in data.draw(st.permutations(lines))]
    found = [text.split()[3:] for text in read_all(new_reader(), shuffled)]
    assert sum(int(count[0]) if count else 1 for count in found) == sum(attempts for attempts, _ in sessions)
