"""Who plays in the demo log: client, what it does, and the listings that must follow; tests hold repzone to it.

By the shipped policy: errors 10 points in 1 h (2/4/8/16/24 h), spam 3 in 6 h (3/6/12/24 h), virus 1 (24 h),
auth 10 in 1 h (2/4/8/16/24 h).
"""

from __future__ import annotations

from dataclasses import dataclass

from repzone.reasons import Category


@dataclass(frozen=True, slots=True)
class Promise:
    """The client gets listings 1 to `offences` of that category.

    `active`: the last one lasts for an hour and more after the log's end; if not, it ended before the log did.
    """

    category: Category
    offences: int
    active: bool


@dataclass(frozen=True, slots=True)
class Actor:
    """One client key, as it is listed, or an address that never is."""

    client: str
    does: str
    listings: tuple[Promise, ...] = ()


def _active(category: Category, offences: int) -> Promise:
    return Promise(category, offences, active=True)


def _ended(category: Category, offences: int) -> Promise:
    return Promise(category, offences, active=False)


CAST = (
    # errors
    Actor("192.0.2.10", "guesses recipients, stays after each ban", (_active("errors", 3),)),
    Actor("192.0.2.25", "talks before the banner, naming somebody else", (_active("errors", 1),)),
    Actor("203.0.113.44", "asks for relaying", (_active("errors", 2),)),
    Actor("203.0.113.9", "comes back after every ban, up the whole ladder", (_active("errors", 6),)),
    Actor("192.0.2.99", "forges HELO and sender", (_active("errors", 1),)),
    Actor("2001:db8:5:1::/64", "guesses recipients from four addresses, few from each", (_active("errors", 2),)),
    Actor("198.51.100.77", "speaks HTTP and does not wait for answers", (_ended("errors", 1),)),
    Actor("198.51.100.78", "fails postscreen's deep tests", (_ended("errors", 1),)),
    Actor("203.0.113.45", "invents commands", (_ended("errors", 2),)),
    # spam
    Actor("198.51.100.20", "sends spam that names somebody else in a header", (_active("spam", 2),)),
    Actor("203.0.113.150", "sends spam", (_active("spam", 3),)),
    Actor("2001:db8:77::/64", "sends spam over IPv6", (_active("spam", 1),)),
    Actor("198.51.100.23", "sent spam, stopped", (_ended("spam", 1),)),
    # virus
    Actor("198.51.100.66", "sends a virus", (_active("virus", 1),)),
    Actor("192.0.2.200", "sends a virus, and another when the ban is over", (_active("virus", 2),)),
    Actor("203.0.113.66", "sends an attachment that is not allowed", (_ended("virus", 1),)),
    # auth
    Actor("203.0.113.80", "guesses passwords", (_active("auth", 3),)),
    Actor("192.0.2.81", "guesses passwords of login names that name somebody else", (_active("auth", 2),)),
    Actor("198.51.100.82", "tries to log in on port 25", (_active("auth", 1),)),
    Actor("203.0.113.85", "guessed passwords, stopped", (_ended("auth", 1),)),
    # several categories at once
    Actor("192.0.2.50", "guesses recipients and sends spam", (_active("errors", 1), _active("spam", 1))),
    # never listed
    Actor("198.51.100.254", "is named by others' HELO, sender, login, command and Received header"),
    Actor("10.20.30.40", "our own printer with an old password: exempt"),
    Actor("192.0.2.140", "guesses six recipients an hour: below the threshold"),
    Actor("203.0.113.151", "sends two spams every seven hours: below the threshold"),
    Actor("203.0.113.210", "our own user mistypes four times an hour: below the threshold"),
    Actor("198.51.100.120", "is on a public block list: weight 0"),
    Actor("198.51.100.121", "has no name: weight 0"),
    Actor("198.51.100.24", "sends doubtful mail that is tagged and delivered: weight 0"),
    Actor("198.51.100.230", "refuses our own mail: no client of ours"),
    Actor("198.51.100.231", "refuses our own login: no client of ours"),
)
