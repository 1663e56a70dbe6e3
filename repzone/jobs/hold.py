"""Rows before and after a full reload in, whether it may be served out; and the operator's word, by files in a folder.

A restored or a wrong database would empty the zone at a blow. So a reload that lacks over half of what is listed, with
no change that tells why, waits in `zone.held` until an operator accepts it, which renames the file.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from repzone import atomic
from repzone.errors import RepzoneError
from repzone.model import Listing
from repzone.zone.rows import clamp, identify, identity, pack_listing

HELD, ACCEPTED = "zone.held", "zone.accepted"


@dataclass(frozen=True, slots=True)
class Held:
    """A reload that waits: since when, the database's serial; how many listings hold, would hold, and would go."""

    since: int
    serial: int
    listed: int
    offered: int
    lost: int


def compare(
    before: bytes, after: bytes, ended: Callable[[int], Iterable[Listing]], serial: int, now: int
) -> Held | None:
    """Tell whether a reload is to be held: it lacks over half of what was listed, and nothing says why.

    `ended` gives the listings begun since an instant that are known to have ended before their time.
    """
    listed, offered = identify(before), identify(after)
    lost = {entry: begins for entry, begins in listed.items() if entry not in offered}
    if 2 * len(lost) <= len(listed):
        return None
    for listing in ended(min(lost.values())):
        entry = identity(pack_listing(listing))
        if lost.get(entry) == clamp(listing.began):
            del lost[entry]
    return Held(now, serial, len(listed), len(offered), len(lost)) if 2 * len(lost) > len(listed) else None


def hold(folder: Path, held: Held) -> None:
    """Write down that a reload is held; RepzoneError when that cannot be written."""
    try:
        atomic.replace(folder / HELD, [json.dumps(asdict(held)).encode()])
    except OSError as error:
        raise RepzoneError(f"{folder / HELD}: cannot be written: {error.strerror}") from None


def load_held(folder: Path) -> Held | None:
    """Give the reload that a server of this folder holds, if it does; RepzoneError when that cannot be read."""
    file = folder / HELD
    try:
        return Held(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RepzoneError(f"{file}: cannot be read: {error}") from None


def accept(folder: Path) -> None:
    """Let the server take the reload that it holds; RepzoneError when it holds none."""
    try:
        (folder / HELD).rename(folder / ACCEPTED)
    except FileNotFoundError:
        raise RepzoneError("no reload is held") from None
    except OSError as error:
        raise RepzoneError(f"{folder / HELD}: cannot be renamed: {error.strerror}") from None


def is_accepted(folder: Path) -> bool:
    """Tell whether the next reload is to be taken as it is."""
    return (folder / ACCEPTED).exists()


def settle(folder: Path) -> None:
    """Forget what was held and accepted, because a reload was taken; RepzoneError when that cannot be."""
    for file in (folder / HELD, folder / ACCEPTED):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise RepzoneError(f"{file}: cannot be removed: {error.strerror}") from None
