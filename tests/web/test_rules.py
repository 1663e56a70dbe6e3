"""What the page tells of the rules is what decides."""

from __future__ import annotations

from pathlib import Path

from repzone.policy.rules import SHIPPED
from repzone.reasons import CATALOGUE
from repzone.web.advice import NAMES
from repzone.web.rules import Rule, ladder
from repzone.web.site import Site
from tests.web.site_of import ALLOW, SPAM, ZONE, site


def made(folder: Path, *changes: tuple[str, str], zones: tuple[str, ...] = (ZONE, ALLOW)) -> Site:
    """Give the site of the shipped policy with some texts changed."""
    text = SHIPPED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "policy.toml").write_text(text)
    return site(folder, 'policy_file = "policy.toml"\n', zones)


def rules(of: Site) -> dict[str, Rule]:
    """Give the rules by category."""
    return {rule.category: rule for rule in of.rules}


def test_the_shipped_policy_is_told_as_the_seed_has_it(tmp_path: Path) -> None:
    told = rules(made(tmp_path))
    assert [(rule.threshold, rule.window) for rule in told.values()] == [(10, 3600), (3, 21600), (1, 3600), (10, 3600)]
    hours = {name: [seconds // 3600 for seconds in rule.ladder] for name, rule in told.items()}
    assert hours == {"errors": [2, 4, 8, 16, 24], "spam": [3, 6, 12, 24], "virus": [24], "auth": [2, 4, 8, 16, 24]}


def test_what_counts_is_every_reason_that_has_points_and_no_other(tmp_path: Path) -> None:
    policy = made(tmp_path).policy
    for name, rule in rules(made(tmp_path)).items():
        counted = {(NAMES[one], policy.weight(one)) for one, of in CATALOGUE.items() if of == name}
        assert {(one.name, one.points) for one in rule.criteria} == {pair for pair in counted if pair[1]}


def test_nobody_learns_from_the_weights_that_there_are_traps(tmp_path: Path) -> None:
    told = rules(made(tmp_path, ("[weights]\n", "[weights]\nspamtrap = 3\n")))
    assert {one.points for one in told["spam"].criteria} == {1}


def test_the_shortest_and_the_longest_that_a_policy_allows_hold_for_every_step(tmp_path: Path) -> None:
    changes = ('max_duration = "24h"', 'max_duration = "10h"'), ('min_duration = "0s"', 'min_duration = "3h"')
    policy = made(tmp_path, *changes).policy
    assert [seconds // 3600 for seconds in ladder(policy, "errors")] == [3, 4, 8, 10]


def test_what_is_in_shadow_or_in_no_zone_is_not_told(tmp_path: Path) -> None:
    assert list(rules(made(tmp_path, zones=(SPAM, ALLOW)))) == ["spam", "virus"]
    shadow = made(tmp_path, ("[categories.spam]\n", "[categories.spam]\nshadow = true\n"))
    assert list(rules(shadow)) == ["errors", "virus", "auth"]


def test_an_error_message_is_what_the_zone_would_say(tmp_path: Path) -> None:
    told = rules(made(tmp_path, ("Too many spams from your IP", "Far too much")))
    begin = (
        "Service unavailable; Client host [192.0.2.10] blocked using bl.example.net; Far too much: 192.0.2.10 is listed"
    )
    assert told["spam"].reply.startswith(begin)
    assert told["spam"].reply.endswith("(3 h 0 min left). https://postmaster.example.net/?ip=192.0.2.10")
