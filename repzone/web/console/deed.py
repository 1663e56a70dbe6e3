"""What an operator asks to be done to one client or network in; it done, or what it would mean, out.

A preview is the act itself in a transaction that is rolled back: so it cannot tell anything else than what is done.
Each effect has a mark, and only the effect that was seen is ever done: when others acted, or more was listed in
between, the new one is shown first. The functions are those of the commands, and so are verb and subject in the audit.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from repzone.errors import RepzoneError
from repzone.model import RESERVED, V4, V6, WIDTH, Client, Listing
from repzone.policy.rules import DAY
from repzone.reasons import Category
from repzone.store.acts import Act
from repzone.store.browse import undone
from repzone.store.engine import Connection, Engine
from repzone.store.exemptions import add_exemptions, end_exemption, load_exemptions
from repzone.store.find import find_listings
from repzone.store.held import drop_held, release_held
from repzone.store.locks import lock_acts
from repzone.store.manual import Choice, ban, unban
from repzone.store.policies import load_rulebook
from repzone.toml import parse_duration
from repzone.web.console.told import Told, tell
from repzone.web.console.words import one_line

Verb = Literal["release", "mistake", "ban", "exempt", "unexempt", "publish", "drop"]
VERBS: tuple[Verb, ...] = get_args(Verb)
LONGEST = 365 * DAY
MAX_REASON = 500
WIDEST = {V4: 16, V6: 32}
"""The shortest prefixes that are banned or exempted from here, in bits."""


class RefusedError(RepzoneError):
    """What was asked for cannot be done."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done to a client, why, by whom, for how long in seconds (None: for good); `whole` says that all of
    a network is meant.
    """

    verb: Verb
    client: Client
    reason: str
    author: str
    length: int | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """Listings that are ended, published, dropped or made; or how many inside a network an exemption lifts; exempt
    networks inside a ban.
    """

    listings: tuple[Listing, ...] = ()
    lifted: Mapping[Category, int] = field(default_factory=dict)
    holes: tuple[Client, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """The client before and after, what is done, and how many clients it is done to if it is more than one."""

    before: Told
    after: Told
    done: Done
    clients: int

    @property
    def mark(self) -> str:
        """Give a word that is another one when this means something else."""
        before, after = self.before, self.after
        known = (
            [(str(one.client), one.category, one.expires) for one in (*before.found.listings, *before.held)],
            [(str(one.network), one.ended) for one in before.exemptions if one.holds_at(before.now)],
            [(str(one.client), one.category, one.offence) for one in self.done.listings],
            [(one.category, one.offence, one.length) for one in after.outlooks],
            (sorted(self.done.lifted.items()), [str(one) for one in self.done.holes]),
        )
        return hashlib.sha256(repr(known).encode()).hexdigest()[:32]


def parse_deed(client: Client, author: str, form: Mapping[str, str]) -> Deed:
    """Read a form; RefusedError says what is missing in it."""
    verb, reason = form.get("act", ""), one_line(form.get("why", ""))
    if verb not in VERBS:
        raise RefusedError("choose what is to be done")
    if not reason:
        raise RefusedError("say why: it is kept in the audit")
    if len(reason) > MAX_REASON:
        raise RefusedError(f"say why in at most {MAX_REASON} characters")
    words = form.get("for", "").strip() or ("24h" if verb == "ban" else "")
    length = None
    if verb in ("ban", "exempt") and words:
        try:
            length = parse_duration(words)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        most = LONGEST if verb == "ban" else 100 * LONGEST
        if not 1 <= length <= most:
            raise RefusedError(f"{words!r} is not between 1s and {most // DAY}d")
    return Deed(verb, client, reason, author, length, form.get("whole") == "1")


def carry_out(engine: Engine, deed: Deed, clock: Callable[[], int], seen: str = "") -> tuple[Effect, bool]:
    """Do it if it means what was seen, and all of a network only if that is meant; give what it means, and whether it
    was done.
    """
    with undone(engine, 0) if seen else undone(engine) as connection:
        lock_acts(connection)
        now = clock()
        effect = _perform(connection, deed, now)
        if effect.mark != seen or (effect.clients > 1 and not deed.whole):
            return effect, False
        connection.commit()
    return effect, True


def _perform(connection: Connection, deed: Deed, now: int) -> Effect:
    before = tell(connection, deed.client, now, 20)
    clients = _count_clients(connection, deed, now)
    done = _DEEDS[deed.verb](connection, deed, now)
    if not done.listings and deed.verb not in ("exempt", "unexempt"):
        raise RefusedError(f"{deed.client} has no listing with which that could be done")
    return Effect(before, tell(connection, deed.client, now, 20), done, clients)


def _act(deed: Deed, now: int, verb: str, subject: Client) -> Act:
    return Act(now, deed.author, verb, str(subject), deed.reason)


def _keys(connection: Connection, client: Client) -> frozenset[Client]:
    """Give what it may be listed as: one key, but for IPv6 by every policy that there was."""
    return frozenset(client.key(one.policy.ipv6_prefix) for one in load_rulebook(connection).versions)


def _running(connection: Connection, deed: Deed, now: int, *states: str) -> tuple[Listing, ...]:
    keys = _keys(connection, deed.client)
    found = find_listings(connection, now, everything=True, client=deed.client)
    return tuple(one for one in found if one.client in keys and one.state in states and one.expires > now)


def _end(connection: Connection, deed: Deed, now: int) -> Done:
    mine = _running(connection, deed, now, "active", "held")
    if mine:
        choice = Choice(_keys(connection, deed.client))
        act = _act(deed, now, "unban", deed.client)
        unban(connection, choice, act, false_positive=deed.verb == "mistake")
    return Done(mine)


def _ban(connection: Connection, deed: Deed, now: int) -> Done:
    key = deed.client.key(load_rulebook(connection).at(now).policy.ipv6_prefix)
    banned = ban(connection, deed.client, key, now + (deed.length or DAY), _act(deed, now, "ban", key))
    exemptions = [one.network for one in load_exemptions(connection) if one.holds_at(now)]
    return Done((banned.listing,), holes=tuple(sorted({one for one in exemptions if key.covers(one) and one != key})))


def _exempt(connection: Connection, deed: Deed, now: int) -> Done:
    reserved = next((one for one in RESERVED if one.covers(deed.client)), None)
    if reserved is not None:
        raise RefusedError(f"{deed.client} never is listed: {reserved} is reserved address space")
    mine = _running(connection, deed, now, "active", "held")
    ended = None if deed.length is None else now + deed.length
    act = _act(deed, now, "allow add", deed.client)
    done = add_exemptions(connection, {deed.client: deed.reason}, ended, act)
    inside = Counter(category for client, category in done.lifted if client != deed.client)
    return Done(tuple(one for one in mine if deed.client.covers(one.client)), inside)


def _end_exemption(connection: Connection, deed: Deed, now: int) -> Done:
    if not end_exemption(connection, deed.client, _act(deed, now, "allow remove", deed.client)):
        raise RefusedError(f"{deed.client} itself is not exempt by hand: nothing to end")
    return Done()


def _decide(connection: Connection, deed: Deed, now: int) -> Done:
    mine = _running(connection, deed, now, "held")
    keys = _keys(connection, deed.client)
    if deed.verb == "publish":
        release_held(connection, keys, None, _act(deed, now, "held release", deed.client))
    else:
        drop_held(connection, keys, None, _act(deed, now, "held drop", deed.client))
    return Done(mine)


def _count_clients(connection: Connection, deed: Deed, now: int) -> int:
    """Count the addresses, or IPv6 networks, that a ban or an exemption is for; RefusedError when they are too many."""
    if deed.verb not in ("ban", "exempt"):
        return 1
    client, widest = deed.client, WIDEST[deed.client.version]
    if client.length < widest:
        command = "ban" if deed.verb == "ban" else "allow add"
        hint = "" if deed.verb == "ban" else f"; `repzone {command} {client}` can do it"
        raise RefusedError(f"{client} is too wide: a /{widest} at most{hint}")
    one = WIDTH[V4] if client.version == V4 else load_rulebook(connection).at(now).policy.ipv6_prefix
    return 1 << max(0, one - client.length)


_DEEDS: dict[Verb, Callable[[Connection, Deed, int], Done]] = {
    "release": _end,
    "mistake": _end,
    "ban": _ban,
    "exempt": _exempt,
    "unexempt": _end_exemption,
    "publish": _decide,
    "drop": _decide,
}
