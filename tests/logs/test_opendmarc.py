"""What OpenDMARC logs, message by message, of a message that the server then holds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.logs.samples import load_samples, new_reader, put_header, read_all
from tests.logs.test_injection import CLIENT, LINE, VICTIM

KNOWN = [
    put_header("smtpd[1]", f"3F2A1B0C9D: client=unknown[{CLIENT}]"),
    put_header("smtpd[2]", f"4F2A1B0C9D: client=unknown[{VICTIM}]"),
]
HELD = [
    put_header(
        "cleanup[3]",
        f"{queue}: milter-hold: END-OF-MESSAGE from unknown[{client}]: milter triggers HOLD action; from=<a>",
    )
    for queue, client in (("3F2A1B0C9D", CLIENT), ("4F2A1B0C9D", VICTIM))
]
PIECES = (" fail", ": ", "4F2A1B0C9D: x fail", "4F2A1B0C9D", "b.example", " none", "SPF(mailfrom): ")
DOMAIN = st.lists(st.sampled_from(PIECES) | LINE, max_size=4).map("".join)


@pytest.mark.parametrize(("wanted", "message"), load_samples("opendmarc.txt"))
def test_a_hold_has_the_reason_that_the_table_says(wanted: str, message: str) -> None:
    found = read_all(new_reader(), [*KNOWN, put_header("opendmarc[8]", message), HELD[0]])
    assert found == ([] if wanted == "-" else [f"4 {wanted} {CLIENT}"])


@pytest.mark.parametrize("message", [message for _, message in load_samples("opendmarc.txt")])
def test_a_result_alone_is_no_offence(message: str) -> None:
    assert read_all(new_reader(), [*KNOWN, put_header("opendmarc[8]", message)]) == []


@given(domain=DOMAIN, result=st.sampled_from(("pass", "none", "fail")))
@example(domain="b.example fail\t", result="none")
def test_a_domain_of_any_text_fails_no_other_message_and_passes_for_no_result(domain: str, result: str) -> None:
    found = read_all(new_reader(), [*KNOWN, put_header("opendmarc[8]", f"3F2A1B0C9D: {domain} {result}"), *HELD])
    assert found in ([], [f"4 dmarc_fail {CLIENT}"] if result == "fail" else [])
