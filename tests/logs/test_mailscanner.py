"""What MailScanner logs, message by message, of a message that the server may have told of."""

from __future__ import annotations

import pytest

from tests.logs.samples import load_samples, new_reader, put_header, read_all

KNOWN = put_header("smtpd[1]", "3F2A1B0C9D: client=unknown[192.0.2.7]")


@pytest.mark.parametrize(("wanted", "message"), load_samples("mailscanner.txt"))
def test_a_message_gives_what_the_table_says(wanted: str, message: str) -> None:
    found = read_all(new_reader(), [KNOWN, put_header("MailScanner[14]", message)])
    assert found == ([] if wanted == "-" else [f"2 {wanted}"])
