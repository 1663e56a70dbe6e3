"""The law of the room: nothing that a client can choose makes another address, or a hit, come out."""

# ruff: noqa: E501 (log lines are long)

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import REFERENCE, new_reader, put_header

CLIENT = "192.0.2.7"
VICTIM = "198.51.100.254"

PIECES = (
    f" from evil[{VICTIM}]:",
    f" from evil[{VICTIM}]",
    f"evil[{VICTIM}]: 554 5.7.1 x",
    f"[{VICTIM}]:25",
    f", [{VICTIM}] <x",
    f", [{VICTIM}]:25 <x> -> <y>",
    f"client=evil[{VICTIM}]",
    f"rip={VICTIM}, lip=",
    f" from evil[{VICTIM}]; from=<",
    f"NOQUEUE: reject: RCPT from evil[{VICTIM}]: ",
    f"warning: evil[{VICTIM}]: SASL LOGIN authentication failed: ",
    "]: 554 ",
    "; from=<",
    "; proto=",
    "> to=<",
    "> proto=SMTP helo=<",
    "> sasl_username=<x>",
    ">: ",
    "] ",
    "<",
    " rejected: ",
    ">: Recipient address rejected: ",
    "Service unavailable; Client host [192.0.2.7] blocked using bl.example.net; ",
    "] blocked using bl.example.net",
    " blocked using bl.example.net; ",
    "https://postmaster.example.net/?ip=192.0.2.7",
    ", Queue-ID: 3F2A1B0C9D, ",
    '"', "\\", "@", "a", " ", "é", "\x1b",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
LINE = TEXT.map(lambda text: text.replace("\n", "?").replace("\r", "?").replace("\0", "?"))

# `{}` is where the client's own text stands. A host name is no such place: Postfix takes only valid ones.
TEMPLATES = (
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 550 5.1.1 <{}>: Recipient address rejected: User unknown; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 554 5.7.1 <{}>: Relay access denied; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: MAIL from h[192.0.2.7]: 450 4.1.8 <{}>: Sender address rejected: Domain not found; from=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: EHLO from h[192.0.2.7]: 504 5.5.2 <{}>: Helo command rejected: need fully-qualified hostname; proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 554 5.7.1 Service unavailable; Sender address [{}] blocked using list.public.example; text; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 554 5.7.1 Service unavailable; Helo command [{}] blocked using list.public.example; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using list.public.example; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "NOQUEUE: reject: RCPT from h[192.0.2.7]: 550 5.1.7 <a@b.example>: Sender address rejected: undeliverable address: host m[203.0.113.9] said: 550 {}; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "3F2A1B0C9D: milter-reject: RCPT from h[192.0.2.7]: 550 5.7.1 Command rejected; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("smtpd[1]", "warning: h[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username={}"),
    ("smtpd[1]", "warning: h[192.0.2.7]: SASL {} authentication failed: Invalid authentication mechanism"),
    ("smtpd[1]", "improper command pipelining after AUTH from h[192.0.2.7]: {}"),
    ("smtpd[1]", "warning: non-SMTP command from h[192.0.2.7]: {}"),
    ("smtpd[1]", "warning: h[192.0.2.7] sent message header instead of SMTP command: {}"),
    ("smtpd[1]", "warning: Illegal address syntax from h[192.0.2.7] in MAIL command: {}"),
    ("smtpd[1]", "reject: ETRN {}... from h[192.0.2.7]"),
    ("smtpd[1]", "3F2A1B0C9D: client=h[192.0.2.7], sasl_method=PLAIN, sasl_username={}"),
    ("smtpd[1]", "proxy-reject: END-OF-MESSAGE: 554 5.7.0 no; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("cleanup[1]", "3F2A1B0C9D: milter-reject: END-OF-MESSAGE from h[192.0.2.7]: 5.7.1 Spam; from=<{}> to=<{}> proto=SMTP helo=<{}>"),
    ("cleanup[1]", "3F2A1B0C9D: reject: header Subject: {} from h[192.0.2.7]; from=<{}> to=<{}> proto=SMTP helo=<{}>: No"),
    ("cleanup[1]", "3F2A1B0C9D: reject: header Subject: {} from local; from=<{}> to=<{}>: No"),
    ("cleanup[1]", "3F2A1B0C9D: message-id=<{}>"),
    ("postscreen[1]", "PREGREET 14 after 0.08 from [192.0.2.7]:59415: {}"),
    ("postscreen[1]", "COMMAND PIPELINING from [192.0.2.7]:59415 after {}: {}"),
    ("postscreen[1]", "NON-SMTP COMMAND from [192.0.2.7]:59415 after CONNECT: {}"),
    ("postscreen[1]", "NOQUEUE: reject: RCPT from [192.0.2.7]:59415: 550 5.5.1 Protocol error; from=<{}>, to=<{}>, proto=SMTP, helo=<{}>"),
    ("amavis[1]", "(1-1) Blocked SPAM {{DiscardedInbound}}, [192.0.2.7]:40000 [203.0.113.9] <{}> -> <{}>, Message-ID: <{}>, Hits: 9"),
    ("amavis[1]", "(1-1) Blocked BANNED ({}) {{DiscardedInbound}}, [192.0.2.7]:40000 <{}> -> <{}>, Hits: 9"),
    ("amavis[1]", "(1-1) Blocked SPAM, <{}> -> <{}>, Hits: 9"),
)  # fmt: skip


@pytest.mark.parametrize(("program", "template"), TEMPLATES, ids=[template[:70] for _, template in TEMPLATES])
@given(texts=st.lists(LINE, min_size=4, max_size=4))
@example(texts=[f"x from evil[{VICTIM}]; from=<y"] * 4)
@example(texts=["x>: Recipient address rejected: https://postmaster.example.net/?ip=192.0.2.7"] * 4)
@example(texts=["https://postmaster.example.net/?ip=192.0.2.7; from=<"] * 4)
@example(texts=["192.0.2.7] https://postmaster.example.net/?ip=192.0.2.7; from=<"] * 4)
@example(texts=["a] blocked using bl.example.net; b"] * 4)
@example(texts=[f"), [{VICTIM}] <x"] * 4)
def test_no_text_of_the_client_names_another_or_makes_a_hit(program: str, template: str, texts: list[str]) -> None:
    line = put_header(program, template.format(*texts)).encode("utf-8", "replace")
    for outcome in new_reader().read(line, 1, REFERENCE):
        assert outcome.client.to_text() == CLIENT
        assert not isinstance(outcome, Hit)


@given(texts=st.lists(LINE, min_size=4, max_size=4))
def test_no_envelope_takes_an_unknown_recipient_away(texts: list[str]) -> None:
    """Neither a forged login nor a forged trouble of ours: the offence stands, whatever its reason."""
    template = TEMPLATES[0][1]
    sender, recipient, _, _ = texts
    # Postfix puts a question mark for blanks, brackets and quotes in HELO.
    helo = "".join("?" if char in ' <>()\\";@' or not char.isprintable() else char for char in texts[3])
    line = put_header("smtpd[1]", template.format(recipient, sender, recipient, helo)).encode("utf-8", "replace")
    assert len(new_reader().read(line, 1, REFERENCE)) == 1


@given(text=LINE)
def test_a_report_s_other_fields_name_nobody(text: str) -> None:
    report = {"type": "amavis", "content_type": "Spam", "client_ip": CLIENT, "src_ip": VICTIM, "mail_from": text}
    line = put_header("amavis[1]", json.dumps({**report, "subject": text, "ip_trace": [VICTIM]})).encode()
    assert [outcome.client.to_text() for outcome in new_reader().read(line, 1, REFERENCE)] == [CLIENT]
