"""The law of the room again, for filters and policy servers: with texts that are written in their own grammar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import DATA, REFERENCE, new_reader
from tests.logs.test_injection import CLIENT, VICTIM, fill

FILES = ("rspamd.txt", "greylisters.txt", "milters.txt")
TEMPLATES = [line for file in FILES for line in (DATA / "injection" / file).read_text().splitlines()]
PIECES = (
    f">, qid: <4F2A1B0C9D>, ip: {VICTIM},",
    f", ip: {VICTIM}, ",
    " user: boss,",
    " from: <a@b.example>,",
    " (default: T (reject): [9.00/9.00] [",
    "A(1.00)], len: 1",
    ";},CLAM_VIRUS(9.00){",
    ", rcpts: <",
    f", client_address={VICTIM}, ",
    ", recipient=",
    f", {VICTIM}({VICTIM}), ",
    f" {VICTIM}(h) -> ",
    " -> ",
    f"addr h[{VICTIM}] from ",
    f"addr {VICTIM} from ",
    f"(from=a, rcpt=b, addr=h[{VICTIM}]) ACL 5",
    " delayed for 00:29:59",
    ": autowhitelisted for 24:00:00",
    f"client-ip={VICTIM}; ",
    ") identity=mailfrom; ",
    f"raddr={VICTIM},",
    ",mid=<1@b.example>,",
    " infected by x",
    ", status=VIRUS:x",
    "<",
    ">",
    " ",
    ",",
    "a@b.example",
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=60)
@given(texts=st.lists(TEXT, min_size=5, max_size=5))
def test_no_text_in_a_filter_s_own_grammar_names_another(template: str, texts: list[str]) -> None:
    for outcome in new_reader().read(fill(template, texts), 1, REFERENCE):
        assert outcome.client.to_text() == CLIENT
        assert not isinstance(outcome, Hit)
