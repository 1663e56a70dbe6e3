"""`allow`: who is exempt, from when to when, and what that lifts, by the commands and by DNS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_commands import offences
from tests.cli.test_serve import answers, serving, until


def test_an_exemption_lifts_at_once_and_is_a_hole_in_a_wider_listing(
    run_process: Run, run: Run, migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
    run_process("ingest", "mail.log")
    run("ban", "192.0.2.0/24", "--reason", "x", "--yes")
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.4", "127.0.0.64"))
        said = run("allow", "add", "192.0.2.6/31", "--comment", "our second office").out.splitlines()
        assert said[0] == "192.0.2.6/31 is exempt from now on: our second office."
        assert said[1] == "Lifted 1 listing: 192.0.2.7 (errors)."
        assert said[2].startswith("192.0.2.0/24 stays listed for manual until ")
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("NXDOMAIN",))
        assert answers(address, "6.2.0.192.bl.example.net") == ("NXDOMAIN",)
        assert answers(address, "8.2.0.192.bl.example.net") == ("127.0.0.64",)
        run("allow", "remove", "192.0.2.6/31")
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.64",))
    listed = {one["client"]: one["state"] for one in run("listings", "--all", "-o", "json").objects}
    assert listed == {"192.0.2.7": "reversed", "192.0.2.0/24": "active"}
    assert "Nobody is exempt" in run("allow", "list").out


def test_an_exemption_can_have_an_end_and_is_replaced_when_it_is_added_again(run: Run) -> None:
    run("allow", "add", "192.0.2.0/24", "--comment", "one")
    (again,) = run("allow", "add", "192.0.2.0/24", "--comment", "two", "--for", "30d", "-o", "json").objects
    assert (again["new"], again["replaced"], again["same"], again["lifted"]) == (0, 1, 0, [])
    (listed,) = run("allow", "list", "-o", "json").objects
    assert (listed["comment"], listed["ended"], listed["applies"]) == ("two", again["until"], True)
    assert listed["author"]
    inside = run("allow", "add", "192.0.2.1", "--comment", "three").out
    assert "It lies in another exemption: 192.0.2.0/24 is exempt (two)." in inside
    assert "But it lies in another exemption: 192.0.2.0/24" in run("allow", "remove", "192.0.2.1").out
    assert [one["applies"] for one in run("allow", "list", "--all", "-o", "json").objects] == [True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["remove", "203.0.113.0/24"], "take it out of own_networks in $REPZONE_OWN_NETWORKS"),
        (["remove", "203.0.113.7"], "203.0.113.7 is not exempt by itself: 203.0.113.0/24 is exempt (own_networks of"),
        (["remove", "192.0.2.1"], "192.0.2.1 is not exempt"),
        (["remove", "10.0.0.1"], "10.0.0.1 is not exempt by itself: 10.0.0.0/8 is reserved address space"),
        (["add", "10.0.0.1", "--comment", "x"], "10.0.0.1 never is listed: 10.0.0.0/8 is reserved address space"),
        (["add", "192.0.0.0/7", "--comment", "x"], "192.0.0.0/7 is a great part of the Internet: --yes exempts it"),
        (["import", "nowhere"], "nowhere: cannot be read: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_and_says_where_to_do_it(run: Run, words: list[str], said: str) -> None:
    done = run("allow", *words, REPZONE_OWN_NETWORKS="203.0.113.0/24")
    assert done.code == 1
    assert said in done.err


def test_nobody_is_exempted_without_a_word_why(run: Run) -> None:
    done = run("allow", "add", "192.0.2.1", "--comment", " ")
    assert (done.code, done.out) == (2, "")
    assert "Invalid value for --comment: say who that is, and why\n" in done.err


def test_a_list_is_imported_as_one_act_with_the_comments_of_its_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "partners.txt").write_text(
        "# partners\n192.0.2.0/24   # the first\n192.0.2.0/24\n192.0.2.9\n127.0.0.0/8, [2001:db8::]/48\n"
    )
    (done,) = run("allow", "import", "partners.txt", "--comment", "spring fair", "-o", "json").objects
    assert (done["new"], done["replaced"], done["same"], done["reserved"]) == (3, 0, 0, 1)
    comments = {one["network"]: one["comment"] for one in run("allow", "list", "-o", "json").objects}
    assert comments == {"192.0.2.0/24": "the first", "192.0.2.9": "spring fair", "2001:db8::/48": "spring fair"}
    again = run("allow", "import", "-", text="\ufeff192.0.2.0/24 # the first\r\n198.51.100.1\r\n").out
    assert again == ("2 networks of standard input are exempt: 1 new, 0 with another comment or end, 1 as before.\n")
    assert [one["verb"] for one in run("audit", "-o", "json").objects] == ["allow import", "allow import"]


def test_a_list_with_a_fault_exempts_nobody_and_names_the_first_faulty_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "partners.txt").write_text("192.0.2.1\n\n192.0.2.300\n192.0.2.400\n")
    done = run("allow", "import", "partners.txt")
    assert done.code == 1
    assert done.err == ("repzone: partners.txt: line 3: '192.0.2.300' is no address or network; nothing is exempted\n")
    assert run("allow", "import", "-", text="127.0.0.1\n").code == 1
    assert run("allow", "list", "-o", "json").objects == []
