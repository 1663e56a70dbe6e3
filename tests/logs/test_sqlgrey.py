"""What SQLgrey logs, message by message."""

from __future__ import annotations

import pytest

from tests.logs.samples import check_sample, load_samples


@pytest.mark.parametrize(("wanted", "message"), load_samples("sqlgrey.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("sqlgrey[14]", wanted, message)
