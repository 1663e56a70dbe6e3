"""What milter-greylist logs, message by message."""

from __future__ import annotations

import pytest

from tests.logs.samples import check_sample, load_samples


@pytest.mark.parametrize(("wanted", "message"), load_samples("milter_greylist.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    check_sample("milter-greylist", wanted, message)
