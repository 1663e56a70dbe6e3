"""An installation in, what is right and what is wrong with it out, each finding with the command that mends it.

Every check is one small function; a check that cannot be made says nothing, since what keeps it from being made is
another's finding. Those of sockets are in `serve.doctor`, that of Postfix in `jobs.postfix`.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repzone import shipped
from repzone.clock import Clock
from repzone.config import EMBEDDED, Settings
from repzone.fastpath import COMPILED
from repzone.jobs.source import describe_ahead
from repzone.store.changes import current_serial
from repzone.store.engine import Engine, answering, database_clock, schema
from repzone.store.overview import Overview, load_overview
from repzone.store.series import load_changed
from repzone.zone.definition import Zone

Level = Literal["right", "warning", "wrong"]

SKEW = 2
"""Seconds that the database's clock may differ from ours: a listing ends by the clock of who answers."""

SCARCE, SHARE = 500_000_000, 0.05
"""Octets, or share of a small file system, that should be free where the database lies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `mend` is the command, or the line of a configuration, that helps."""

    check: str
    level: Level
    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined: the configuration, its zones, the database as far as it can be reached, the clock."""

    settings: Settings
    zones: Sequence[Zone]
    engine: Engine | None
    clock: Clock


Check = Callable[[Case], Iterator[Finding]]


def check_tables(case: Case) -> Iterator[Finding]:
    """See that the server is of a fit version and the tables are what this repzone needs."""
    if case.engine is not None:
        found = schema(case.engine, shipped.folder("migrations"))
        yield Finding("database", "right", f"PostgreSQL {found.server} answers")
        if found.current:
            yield Finding("tables", "right", f"up to date (revision {found.revision})")
        else:
            have = f"at revision {found.revision}" if found.revision else "not made yet"
            yield Finding("tables", "wrong", f"{have}, {found.wanted} is needed", "repzone db upgrade")


def check_clock(case: Case) -> Iterator[Finding]:
    """Compare our clock with the database's."""
    if case.engine is None:
        return
    with answering(), case.engine.connect() as connection:
        before, theirs, after = case.clock(), database_clock(connection), case.clock()
    skew = max(before - theirs, theirs - after, 0)
    if skew > SKEW:
        yield Finding("clock", "warning", f"differs from the database's by {skew} s", "timedatectl set-ntp true")
    else:
        yield Finding("clock", "right", "agrees with the database's")


def check_sources(case: Case) -> Iterator[Finding]:
    """See that every log that is to be read is read, and written to."""
    overview = _overview(case)
    if overview is None:
        return
    now = case.clock()
    configured = {str(Path(log).absolute()) for log in case.settings.logs}
    known = set()
    for source in overview.sources:
        known.add(source.path)
        ours = source.host == case.settings.host and source.path in configured
        standing = source.standing(now, configured=ours)
        name = f"{source.host}:{source.path}"
        if ahead := describe_ahead(source.newest, now):
            yield Finding("source", "warning", f"{name}: {ahead}", "set timezone in repzone.toml; timedatectl")
        if standing == "silent":
            mend = f"repzone ingest {source.path}, or systemctl start repzone"
            yield Finding("source", "wrong", f"{name} is not read any more", mend)
        elif standing == "quiet":
            mend = f"ls -l {source.path}: does the mail server log elsewhere?"
            yield Finding("source", "warning", f"{name} is read, and nothing was written to it for an hour", mend)
        elif standing == "fine" and not ahead:
            yield Finding("source", "right", f"{name} is read")
    for path in sorted(configured - known):
        if Path(path).exists():
            yield Finding("source", "wrong", f"{path} was never read", f"repzone ingest {path}, or repzone run")
        else:
            yield Finding(
                "source", "wrong", f"{path} does not exist", "set `logs` in repzone.toml to where your mail log is"
            )


def check_brake(case: Case) -> Iterator[Finding]:
    """See whether the brake holds listings back."""
    overview = _overview(case)
    held = sum(overview.held.values()) if overview else 0
    if held:
        yield Finding(
            "brake",
            "wrong",
            f"{held:,} {'listing is' if held == 1 else 'listings are'} held: more began at once than the policy allows",
            "repzone held list",
        )
    elif overview:
        yield Finding("brake", "right", "holds nothing")


def check_pauses(case: Case) -> Iterator[Finding]:
    """See whether zones are paused."""
    overview = _overview(case)
    for apex in overview.paused if overview else ():
        yield Finding(
            "pause", "warning", f"{apex} is paused: only its test entries answer", f"repzone zone resume {apex}"
        )


def _overview(case: Case) -> Overview | None:
    if case.engine is None or not schema(case.engine, shipped.folder("migrations")).current:
        return None
    with answering(), case.engine.connect() as connection:
        return load_overview(connection, case.clock())


def check_contact(case: Case) -> Iterator[Finding]:
    """See that the page for blocked senders says where to write to."""
    if case.settings.web_listen and case.settings.operator.contact is None:
        what = "is not set: who is blocked by mistake does not learn from the page where to write to"
        mend = 'in repzone.toml: [operator] contact = "postmaster@example.net", with an address of yours'
        yield Finding("contact", "warning", what, mend)


def load_last(case: Case) -> tuple[int, int | None] | None:
    """Give the serial of our database, and when the zones last changed; None where it cannot be read."""
    if case.engine is None or not schema(case.engine, shipped.folder("migrations")).current:
        return None
    with answering(), case.engine.connect() as connection:
        return current_serial(connection), load_changed(connection)


def check_room(case: Case) -> Iterator[Finding]:
    """See that there is room where the private PostgreSQL lies."""
    if case.settings.database_url != EMBEDDED or not case.settings.state_dir.exists():
        return
    usage = shutil.disk_usage(case.settings.state_dir)
    free = f"{usage.free / 1e9:,.1f} GB free in {case.settings.state_dir}"
    if usage.free < min(SCARCE, usage.total * SHARE):
        yield Finding("room", "wrong", f"only {free}", "repzone db prune, or a shorter event_retention in repzone.toml")
    else:
        yield Finding("room", "right", free)


def check_core(case: Case) -> Iterator[Finding]:
    """See whether the compiled core answers."""
    if COMPILED:
        yield Finding("core", "right", "compiled")
    else:
        mend = "apt-get install gcc python3-dev, then install repzone again"
        yield Finding("core", "warning", "not compiled: answers take several times as long", mend)
