"""What Haraka logs, message by message, and the same in its other log formats."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs import haraka
from tests.logs.samples import check_sample, load_samples, new_reader, put_header, read_all

UUID = "3E6A027F-8307-4DA4-B105-2A39EC4B58D4"
CONNECT = put_header(
    "haraka[7]", f"[NOTICE] [{UUID}] [core] connect ip=192.0.2.7 port=1 local_ip=203.0.113.1 local_port=25"
)


@pytest.mark.parametrize(("wanted", "message"), load_samples("haraka.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("haraka[7]", wanted, message)


VALUES = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(' ="\\<>'), max_size=12)


@given(address=VALUES, msg=VALUES, sender=VALUES)
def test_a_refused_recipient_is_one_whatever_the_client_wrote(address: str, msg: str, sender: str) -> None:
    """In all three formats, with each value quoted as Haraka quotes it."""
    text = f"recipient <{address}>"
    pairs = f"code=DENY msg={haraka._quote(msg)} sender={haraka._quote(sender)}"
    fields = {"level": "NOTICE", "uuid": f"{UUID}.1", "origin": "core", "message": text}
    for line in (
        f"[NOTICE] [{UUID}.1] [core] {text} {pairs}",
        f"level=NOTICE uuid={UUID}.1 origin=core message={haraka._quote(text)} {pairs}",
        json.dumps({**fields, "code": "DENY", "msg": msg, "sender": sender}),
    ):
        found = read_all(new_reader(), [CONNECT, put_header("haraka[7]", line)])
        assert len(found) == 1
        assert found[0].split()[0] == "2"
        assert found[0].split()[2] == "192.0.2.7"
