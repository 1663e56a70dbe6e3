"""Programs of one name are told apart by what they write."""

from __future__ import annotations

import pytest

from tests.logs.samples import check_sample, load_samples


@pytest.mark.parametrize("program", ["imapd[14]", "pop3d[14]"])
@pytest.mark.parametrize("table", ["cyrus.txt", "uwimap.txt"])
def test_a_shared_name_hides_no_server(program: str, table: str) -> None:
    for wanted, message in load_samples(table):
        check_sample(program, wanted, message)
