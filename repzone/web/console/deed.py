"""What an operator asks to be done to one client in; it done, or what it would mean, out.

A preview is the act itself in a transaction that is rolled back: so it cannot tell anything else than what is done.
The functions are those of the commands, and so are verb and subject in the audit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from repzone.errors import RepzoneError
from repzone.model import RESERVED, Client, Listing
from repzone.policy.rules import DAY
from repzone.store.acts import Act, lock_acts
from repzone.store.browse import undone
from repzone.store.engine import Connection, Engine, answering
from repzone.store.exemptions import add_exemptions
from repzone.store.find import find_listings
from repzone.store.held import drop_held, release_held
from repzone.store.manual import Choice, ban, unban
from repzone.store.policies import load_rulebook
from repzone.toml import parse_duration
from repzone.web.console.told import Told, tell
from repzone.web.console.words import one_line

Verb = Literal["release", "mistake", "ban", "exempt", "publish", "drop"]
VERBS: tuple[Verb, ...] = get_args(Verb)
LONGEST = 365 * DAY
MAX_REASON = 500


class RefusedError(RepzoneError):
    """What was asked for cannot be done."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done to a client, why, by whom, and for how long in seconds (None: for good)."""

    verb: Verb
    client: Client
    reason: str
    author: str
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """The client before and after; the listings that are ended, published, dropped or made."""

    before: Told
    after: Told
    listings: tuple[Listing, ...]


def parse_deed(client: Client, author: str, form: dict[str, str]) -> Deed:
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
        if not 1 <= length <= (LONGEST if verb == "ban" else 100 * LONGEST):
            raise RefusedError(f"{words!r} is not between 1s and 365d")
    return Deed(verb, client, reason, author, length)


def perform(engine: Engine, deed: Deed, clock: Callable[[], int]) -> Effect:
    """Do it."""
    with answering(), engine.begin() as connection:
        lock_acts(connection)
        return _perform(connection, deed, clock())


def preview(engine: Engine, deed: Deed, clock: Callable[[], int]) -> Effect:
    """Tell what it would mean, and change nothing."""
    with undone(engine) as connection:
        lock_acts(connection)
        return _perform(connection, deed, clock())


def _perform(connection: Connection, deed: Deed, now: int) -> Effect:
    before = tell(connection, deed.client, now, 20)
    listings = _DEEDS[deed.verb](connection, deed, now)
    if not listings and deed.verb not in ("exempt",):
        raise RefusedError(f"{deed.client} has no listing with which that could be done")
    return Effect(before, tell(connection, deed.client, now, 20), tuple(listings))


def _act(deed: Deed, now: int, verb: str, subject: Client) -> Act:
    return Act(now, deed.author, verb, str(subject), deed.reason)


def _keys(connection: Connection, client: Client) -> frozenset[Client]:
    """Give what it may be listed as: one key, but for IPv6 by every policy that there was."""
    return frozenset(client.key(one.policy.ipv6_prefix) for one in load_rulebook(connection).versions)


def _running(connection: Connection, deed: Deed, now: int, *states: str) -> list[Listing]:
    keys = _keys(connection, deed.client)
    found = find_listings(connection, now, everything=True, client=deed.client)
    return [one for one in found if one.client in keys and one.state in states and one.expires > now]


def _end(connection: Connection, deed: Deed, now: int) -> list[Listing]:
    mine = _running(connection, deed, now, "active", "held")
    if mine:
        choice = Choice(_keys(connection, deed.client))
        act = _act(deed, now, "unban", deed.client)
        unban(connection, choice, act, false_positive=deed.verb == "mistake")
    return mine


def _ban(connection: Connection, deed: Deed, now: int) -> list[Listing]:
    key = deed.client.key(load_rulebook(connection).at(now).policy.ipv6_prefix)
    _require_one(connection, deed.client, now, "ban")
    banned = ban(connection, deed.client, key, now + (deed.length or DAY), _act(deed, now, "ban", key))
    return [banned.listing]


def _exempt(connection: Connection, deed: Deed, now: int) -> list[Listing]:
    _require_one(connection, deed.client, now, "allow add")
    reserved = next((one for one in RESERVED if one.covers(deed.client)), None)
    if reserved is not None:
        raise RefusedError(f"{deed.client} never is listed: {reserved} is reserved address space")
    mine = _running(connection, deed, now, "active", "held")
    ended = None if deed.length is None else now + deed.length
    add_exemptions(connection, {deed.client: deed.reason}, ended, _act(deed, now, "allow add", deed.client))
    return [one for one in mine if deed.client.covers(one.client)]


def _decide(connection: Connection, deed: Deed, now: int) -> list[Listing]:
    mine = _running(connection, deed, now, "held")
    keys = _keys(connection, deed.client)
    if deed.verb == "publish":
        release_held(connection, keys, None, _act(deed, now, "held release", deed.client))
    else:
        drop_held(connection, keys, None, _act(deed, now, "held drop", deed.client))
    return mine


def _require_one(connection: Connection, client: Client, now: int, command: str) -> None:
    prefix = load_rulebook(connection).at(now).policy.ipv6_prefix
    if client.key(prefix).length < (32 if client.version == 4 else prefix):
        raise RefusedError(f"{client} is more than one client: `repzone {command} {client}` can do it")


_DEEDS: dict[Verb, Callable[[Connection, Deed, int], list[Listing]]] = {
    "release": _end,
    "mistake": _end,
    "ban": _ban,
    "exempt": _exempt,
    "publish": _decide,
    "drop": _decide,
}
