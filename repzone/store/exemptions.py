"""Exemptions as the database holds them.

The operator's own networks are among them, since ever and for as long as the configuration names them.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from repzone.model import Client, Exemption
from repzone.store.changes import add_exemption_changes
from repzone.store.engine import instant, seconds
from repzone.store.tables import exemption


def load_exemptions(connection: sa.Connection) -> list[Exemption]:
    """Give every exemption, those that ended too: they tell which old events never count."""
    columns = exemption.c
    query = sa.select(
        columns.network, seconds(columns.added), seconds(columns.ended), columns.comment, columns.author
    ).order_by(columns.id)
    return [
        Exemption(Client.from_text(network), added, ended, comment, author)
        for network, added, ended, comment, author in connection.execute(query)
    ]


OWN = "own_networks"
"""The author of the exemptions that the configuration makes."""


def store_own_networks(connection: sa.Connection, networks: Iterable[Client], now: int) -> None:
    """Exempt exactly these own networks from now on; new ones for all earlier time too."""
    wanted = {network.to_text() for network in networks}
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.own_networks'))")
    columns = exemption.c
    mine = sa.and_(columns.author == OWN, columns.ended.is_(None))
    held = set(connection.scalars(sa.select(columns.network).where(mine)))
    changed: list[int] = []
    for network in sorted(wanted - held):
        row = {"network": network, "added": instant(0), "author": OWN, "comment": "own network"}
        changed += connection.scalars(exemption.insert().values(row).returning(columns.id))
    for network in sorted(held - wanted):
        ended = exemption.update().where(mine, columns.network == network).values(ended=instant(now))
        changed += connection.scalars(ended.returning(columns.id))
    if changed:
        add_exemption_changes(connection, changed, now)
