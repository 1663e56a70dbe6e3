"""Clean traffic in; connections and messages by client key and hour out."""

from collections.abc import Sequence

import sqlalchemy as sa

from repzone.model import Exemption, Exemptions, Traffic
from repzone.policy.rules import Rulebook

_HOUR = 3600


def add_traffic(
    connection: sa.Connection, traffic: Sequence[Traffic], rulebook: Rulebook, exemptions: Exemptions
) -> None:
    """Add connections and accepted messages to those of their key and hour; exempt clients are left out.

    The caller owns the transaction; rows are locked in the order of their keys and hours.
    """
    clients: dict[tuple[int, int, int, int], tuple[str, list[Exemption]]] = {}
    sums: dict[tuple[str, int], tuple[int, int]] = {}
    for one in traffic:
        at, client = one.at, one.client
        prefix = rulebook.at(at).policy.ipv6_prefix
        number = client.version, client.value, client.length, prefix
        known = clients.get(number)
        if known is None:
            known = clients[number] = client.key(prefix).to_text(), exemptions.find_ever(client)
        key, covering = known
        if not any(exemption.holds_at(at) for exemption in covering):
            of = key, at // _HOUR * _HOUR
            connections, messages = sums.get(of, (0, 0))
            sums[of] = connections + one.connections, messages + one.messages
    if sums:
        arrays = {
            "keys": [key for key, _ in sums],
            "hours": [hour for _, hour in sums],
            "connections": [connections for connections, _ in sums.values()],
            "messages": [messages for _, messages in sums.values()],
        }
        connection.execute(_ADD, arrays)


_ADD = sa.text("""
INSERT INTO traffic (key, hour, connections, messages)
SELECT key, to_timestamp(hour), connections, messages
FROM unnest(CAST(:keys AS inet[]), CAST(:hours AS bigint[]), CAST(:connections AS bigint[]),
    CAST(:messages AS bigint[])) AS new (key, hour, connections, messages)
ORDER BY key, hour
ON CONFLICT (key, hour) DO UPDATE SET
    connections = traffic.connections + excluded.connections, messages = traffic.messages + excluded.messages""")
