"""Every reason has a name for its sender, and something to do about it."""

from repzone.reasons import CATALOGUE, CATEGORIES
from repzone.web.advice import ADVICE, BLOCKED_FOR, CATEGORY_NAMES, EXPLANATIONS, GENERAL, NAMES, OWNERS, advise


def test_every_reason_has_a_name_and_advice() -> None:
    assert set(NAMES) == set(CATALOGUE)
    assert set().union(*ADVICE.values()) == set(CATALOGUE)
    assert all(advise([reason]) for reason in CATALOGUE)


def test_every_category_has_its_words() -> None:
    for words in (BLOCKED_FOR, CATEGORY_NAMES, GENERAL):
        assert set(words) == set(CATEGORIES)
    for words in (EXPLANATIONS, OWNERS):
        assert set(words) == set(CATEGORIES) - {"manual"}


def test_a_spam_trap_is_called_spam() -> None:
    assert NAMES["spamtrap"] == NAMES["spam_detected"]
    assert advise(["spamtrap"]) == advise(["spam_detected"])


def test_advice_is_for_exactly_these_reasons_and_said_once() -> None:
    said = advise(["unknown_recipient", "recipient_rejected", "pregreet"])
    assert len(said) == len(set(said))
    assert not set(said) & set(advise(["virus_found"]))
    assert advise([]) == []
