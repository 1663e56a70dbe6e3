"""Policy text in, the rulebook of all policies so far out; a new text is in force from now on.

What has been read before is not judged by it: that may be of this very second, or of a log whose clock is ahead (by
FUTURE at most). Then the new text is in force behind that.
"""

from functools import lru_cache

import sqlalchemy as sa

from repzone.policy.rules import Policy, Rulebook, Version, parse
from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.locks import lock_policy, lock_rules
from repzone.store.tables import MARKED, policy_version


def load_policy(connection: sa.Connection, text: str, source: str, now: int) -> Rulebook:
    """Store the policy when it differs from the one in force, and give the rulebook.

    ConfigError names `source` when the text does not fit; nothing is stored then.
    """
    parse(text, source)
    lock_policy(connection)
    times = {"now": instant(now), "future": instant(now + FUTURE), "ahead": FUTURE}
    if connection.scalar(_LAST, times) != text:
        lock_rules(connection)
        effective_from = connection.scalar(_FREE_FROM, times)
        connection.execute(policy_version.insert().values(text=text, effective_from=effective_from))
        connection.execute(_MARK_AHEAD, times)
    return load_rulebook(connection)


# What is further ahead was loaded under a wrong clock, and stands behind whatever comes in force till then.
_LAST = sa.text("""
SELECT text FROM policy_version WHERE effective_from <= :future ORDER BY effective_from DESC, id DESC LIMIT 1""")

# The partitions of today, or tomorrow; once a policy.
_FREE_FROM = sa.text("""
SELECT greatest(
    :now,
    (SELECT max(effective_from) FROM policy_version WHERE effective_from <= :future),
    (SELECT max(at) + interval '1 s' FROM event WHERE at >= :now AND at <= :future)
)""")


# What is further ahead is judged by the new text; nobody has marked what weighed nothing by the old.
_MARK_AHEAD = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT key, category, min(at), min(at) - make_interval(secs => :ahead)
FROM event WHERE at > :future AND NOT late AND NOT exempt
GROUP BY key, category ORDER BY key, category
{MARKED}""")  # noqa: S608 - our own words


@lru_cache(maxsize=64)
def _parse(number: int, text: str) -> Policy:
    """Read a stored version, which never changes, once: a follower asks with every line."""
    return parse(text, f"policy version {number} of the database")


def has_policy(connection: sa.Connection) -> bool:
    """Tell whether a policy was ever in force."""
    return bool(connection.scalar(sa.select(sa.exists(policy_version.select()))))


def load_rulebook(connection: sa.Connection) -> Rulebook:
    """Give the rulebook of the policies that are stored."""
    query = sa.select(policy_version.c.id, seconds(policy_version.c.effective_from), policy_version.c.text)
    return Rulebook(
        [
            Version(number, effective_from, _parse(number, text))
            for number, effective_from, text in connection.execute(query)
        ]
    )
