"""Policy files: what they may say, and what they are told when they may not."""

import pytest

from repzone.errors import ConfigError
from repzone.policy.rules import SHIPPED, Rulebook, Version, differences, parse, to_text


def test_an_empty_policy_is_the_shipped_one() -> None:
    assert parse("", "policy.toml") == parse(SHIPPED, "policy.toml")


def test_a_policy_need_only_say_what_it_changes() -> None:
    policy = parse("[categories.spam]\nthreshold = 5\n[weights]\nvrfy_expn = 3", "policy.toml")
    assert policy.rules("spam").threshold == 5
    assert policy.rules("spam").window == 6 * 3600
    assert policy.weight("vrfy_expn") == 3
    assert policy.weight("pregreet") == 5
    assert policy.weight("timeout") == 1


@pytest.mark.parametrize(
    ("text", "key", "wanted"),
    [
        ("offence_memory = 90", "offence_memory", "90 is no duration; write for example 90d"),
        ('max_duration = "1y"', "max_duration", "'1y' is no duration"),
        ("[categories.errors]\nthreshold = 0", "categories.errors.threshold", "greater than or equal to 1"),
        ("[categories.errors]\ndurations = []", "categories.errors.durations", "at least 1 is needed"),
        ("[categories.errors]\nmesage = 'x'", "categories.errors.mesage", "there is no such key"),
        ("[categories.phishing]\nthreshold = 3", "categories.phishing", "there is no such key"),
        ("[weights]\nunknown_recipent = 2", "weights.unknown_recipent", "there is no reason"),
        ("[weights]\npregreet = -1", "weights.pregreet", "greater than or equal to 0"),
        ("ipv6_prefix = 200", "ipv6_prefix", "less than or equal to 128"),
        ('min_duration = "2h"\nmax_duration = "1h"', "", "min_duration is longer than max_duration"),
        ("[categories.errors]\nmessage = 'trop d\u2019erreurs'", "categories.errors.message", "string should match"),
        ("threshold == 3", "", "not valid TOML"),
    ],
)
def test_a_policy_that_does_not_fit_names_file_key_and_wanted_value(text: str, key: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "policy.toml")
    assert (caught.value.where, caught.value.key) == ("policy.toml", key)
    assert wanted in caught.value.wanted


def test_the_first_policy_is_in_force_for_all_earlier_time_and_each_other_from_its_instant() -> None:
    policy = parse("", "policy.toml")
    rulebook = Rulebook([Version(2, 200, policy), Version(1, 100, policy), Version(3, 200, policy)])
    assert [rulebook.at(instant).id for instant in (0, 100, 199, 200, 999)] == [1, 1, 1, 3, 3]


def test_a_policy_is_written_as_it_is_read() -> None:
    text = """
    brake_listings = 50
    min_duration = "90s"
    [categories.spam]
    max_clean = 0.5
    message = 'Spam: "again"'
    [weights]
    timeout = 7
    """
    for policy in (parse("", "shipped"), parse(text, "own")):
        assert parse(to_text(policy), "written") == policy


def test_what_differs_between_two_policies_is_said_key_by_key() -> None:
    new = parse("ipv6_prefix = 56\n[categories.spam]\nmax_clean = 20\n[weights]\ntimeout = 3\nvrfy_expn = 1", "new")
    assert differences(parse("", "old"), new) == [
        ("ipv6_prefix", "64", "56"),
        ("categories.spam.max_clean", "", "20.0"),
        ("weights.timeout", "1", "3"),
    ]
