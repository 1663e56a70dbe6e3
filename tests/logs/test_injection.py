"""The law of the room: nothing that a client can choose makes another address, or a hit, come out."""

# ruff: noqa: E501 (log lines are long)

from __future__ import annotations

import json
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import DATA, REFERENCE, new_reader, put_header

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
    ": 511 blocked using bl.example.net ",
    '",msg="511 blocked using bl.example.net.",cmd: ',
    f",{VICTIM}): unknown user",
    f" rhost={VICTIM}",
    f", relay=evil [{VICTIM}], reject=550 ",
    f"addr {VICTIM} from ",
    f", client_address={VICTIM}, ",
    f", ip: {VICTIM}, ",
    f", client: {VICTIM}, server: ",
    f" ip={VICTIM} ",
    '"', "\\", "@", "a", " ", "é", "\x1b",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
LINE = TEXT.map(lambda text: text.replace("\n", "?").replace("\r", "?").replace("\0", "?"))

# Whole lines, where `{}` is the place of a text that the client chooses. A host name is none: Postfix takes only valid ones.
TEMPLATES = [line for file in sorted((DATA / "injection").glob("*.txt")) for line in file.read_text().splitlines()]


def fill(template: str, texts: list[str]) -> bytes:
    """Put the texts in, one after the other and over again."""
    first, *rest = template.split("{}")
    filled = first + "".join(texts[number % len(texts)] + part for number, part in enumerate(rest))
    return filled.encode("utf-8", "replace")


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=int(os.environ.get("REPZONE_SOAK", "0")) * 475 + 25)
@given(texts=st.lists(LINE, min_size=4, max_size=4))
@example(texts=[f"x from evil[{VICTIM}]; from=<y"] * 4)
@example(texts=["x>: Recipient address rejected: https://postmaster.example.net/?ip=192.0.2.7"] * 4)
@example(texts=["https://postmaster.example.net/?ip=192.0.2.7; from=<"] * 4)
@example(texts=["192.0.2.7] https://postmaster.example.net/?ip=192.0.2.7; from=<"] * 4)
@example(texts=["a] blocked using bl.example.net; b"] * 4)
@example(texts=[f"), [{VICTIM}] <x"] * 4)
@example(texts=[f"x), [{VICTIM}] <y> -> <z>", "a@b.example", "a@b.example", "a@b.example"])
@example(texts=['"', "", f'", relay=evil [{VICTIM}], reject=550 ', ""])
@example(texts=[f'"x, relay=evil [{VICTIM}], reject=550 "', "", "", ""])
def test_no_text_of_the_client_names_another_or_makes_a_hit(template: str, texts: list[str]) -> None:
    line = fill(template, texts)
    for outcome in (*new_reader().read(line, 1, REFERENCE), *new_reader().read_block(line + b"\n", 1, REFERENCE)):
        assert outcome.client.to_text() == CLIENT
        assert not isinstance(outcome, Hit)


@given(texts=st.lists(LINE, min_size=4, max_size=4))
def test_no_envelope_takes_an_unknown_recipient_away(texts: list[str]) -> None:
    """Neither a forged login nor a forged trouble of ours: the offence stands, whatever its reason."""
    template = "NOQUEUE: reject: RCPT from h[192.0.2.7]: 550 5.1.1 <{}>: Recipient address rejected: User unknown; from=<{}> to=<{}> proto=SMTP helo=<{}>"
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
