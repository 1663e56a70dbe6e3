"""What clamav-milter logs, message by message, of a message that the server has told of."""

from __future__ import annotations

import pytest

from tests.logs.samples import load_samples, new_reader, put_header, read_all

KNOWN = put_header("smtpd[1]", "3F2A1B0C9D: client=unknown[192.0.2.7]")


@pytest.mark.parametrize(("wanted", "message"), load_samples("clamav.txt"))
def test_a_message_gives_what_the_table_says(wanted: str, message: str) -> None:
    found = read_all(new_reader(), [KNOWN, put_header("clamav-milter[14]", message)])
    assert found == ([] if wanted == "-" else [f"2 {wanted}"])


@pytest.mark.parametrize("message", [message for _, message in load_samples("clamav.txt")])
def test_a_message_alone_names_nobody(message: str) -> None:
    assert read_all(new_reader(), [put_header("clamav-milter[14]", message)]) == []
