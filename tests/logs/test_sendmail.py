"""What sendmail logs, message by message; and addresses that hold the grammar of the lines they stand in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import DATA, REFERENCE, check_sample, load_samples, new_reader
from tests.logs.test_injection import CLIENT, VICTIM, fill

TEMPLATES = [
    line
    for name in ("sendmail.txt", "haraka.txt", "mailscanner.txt")
    for line in (DATA / "injection" / name).read_text().splitlines()
]
PIECES = (
    f", relay=evil [{VICTIM}]",
    f", relay=[{VICTIM}], reject=550 5.7.1 ",
    f", relay=[{VICTIM}], discard",
    f") from evil [{VICTIM}]",
    f" from {VICTIM} (x) to y is spam",
    f"h [{VICTIM}]: VRFY x [rejected]",
    "... Rejected: 192.0.2.7 listed at bl.example.net",
    "... blocked using bl.example.net; ",
    "https://postmaster.example.net/?ip=192.0.2.7",
    ", size=1, class=0, nrcpts=1, msgid=<1@b.example>",
    ", reject=451 4.7.1 x",
    f" ip={VICTIM} port=1",
    " code=OK msg= sender=",
    " time=1",
    "... ",
    " ",
    "a@b.example",
)
# An address that sendmail takes is balanced, and so are quotes in it; where it ends is nothing that a client can forge.
TEXT = st.recursive(
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    lambda inner: st.tuples(inner, st.sampled_from(('"{}"', "({})", "<{}>")), inner).map(
        lambda parts: (
            parts[0].replace('"', "") + parts[1].format(parts[2].replace('"', "").replace("(", "").replace(")", ""))
        )
    ),
    max_leaves=3,
)


@pytest.mark.parametrize(("wanted", "message"), load_samples("sendmail.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("sm-mta[14]", wanted, message)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=60)
@given(texts=st.lists(TEXT, min_size=3, max_size=3))
def test_no_text_in_the_line_s_own_grammar_names_another(template: str, texts: list[str]) -> None:
    for outcome in new_reader().read(fill(template, texts), 1, REFERENCE):
        assert outcome.client.to_text() == CLIENT
        assert not isinstance(outcome, Hit)
