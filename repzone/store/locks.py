"""Which transactions keep out of each other's way, by advisory locks; docs/adr/0021-order-of-locks.md has their order.

Marks of clients, listings and serials are locked as rows, where they are changed.
"""

from collections.abc import Iterable

import sqlalchemy as sa

HISTORY = "hashtext('repzone.history')"
"""Whoever stores what is more than a day old shares it, so that nobody drops it meanwhile."""

_RULES = "hashtext('repzone.rules')"
_DAY = 86_400


def hold_history(connection: sa.Connection, instants: Iterable[int], now: int) -> None:
    """Keep days and listings that these instants belong to from being pruned until this transaction ends.

    Do it first in the transaction. Nothing of the last day is ever pruned: mostly there is nothing to do.
    """
    if min(instants, default=now) < now - _DAY:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({HISTORY})")


def lock_policy(connection: sa.Connection) -> None:
    """Let everybody else who loads a policy wait until this transaction ends."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.policy_version'))")


def lock_own_networks(connection: sa.Connection) -> None:
    """Let everybody else who configures own networks wait until this transaction ends."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.own_networks'))")


def lock_acts(connection: sa.Connection) -> None:
    """Let every other act wait until this transaction ends: do it first."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.acts'))")


def hold_rules(connection: sa.Connection) -> None:
    """Keep policies from being loaded, and exemptions from being made or ended, until this transaction ends.

    Do it before you read them, to store events by them or to decide.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_RULES})")


def lock_rules(connection: sa.Connection) -> None:
    """Wait for all who store or decide by the rules they know, and let no others begin until this transaction ends."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_RULES})")
