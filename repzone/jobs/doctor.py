"""An installation in, what is right and what is wrong with it out, each finding with the command that mends it.

Every check is one small function; a check that cannot be made says nothing, since what keeps it from being made is
another's finding. Those of sockets are in `serve.doctor`.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repzone import shipped
from repzone.clock import Clock
from repzone.config import EMBEDDED, Settings
from repzone.fastpath import COMPILED
from repzone.store.engine import Engine, answering, database_clock, schema
from repzone.store.overview import Overview, load_overview
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
        if standing == "silent":
            mend = f"repzone ingest {source.path}, or systemctl start repzone"
            yield Finding("source", "wrong", f"{name} is not read any more", mend)
        elif standing == "quiet":
            mend = f"ls -l {source.path}: does the mail server log elsewhere?"
            yield Finding("source", "warning", f"{name} is read, and nothing was written to it for an hour", mend)
        elif standing == "fine":
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


LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
)
RECIPIENT = "smtpd_recipient_restrictions"
FINAL = ("permit", "reject", "defer")
"""Restrictions that nothing behind them is asked after."""
POSTSCREEN, SASL = "postscreen_dnsbl_sites", "smtpd_sasl_auth_enable"
FILTER = "127.0.0.[4;8;16;32;64]"


def check_postfix(case: Case) -> Iterator[Finding]:
    """See that Postfix asks each block zone, and not about those who may send in any case (postconf(5))."""
    values = load_postfix()
    if values is None:
        return
    for zone in case.zones:
        if zone.kind == "block":
            yield from examine_postfix(values, zone.apex)


def load_postfix() -> Mapping[str, str] | None:
    """Ask postconf(1) for what matters; None where there is no Postfix.

    What master.cf says for one service is named as postconf does: `submission/inet/smtpd_sasl_auth_enable`.
    """
    program = shutil.which("postconf") or shutil.which("postconf", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    values = _ask(program, *LISTS, POSTSCREEN, SASL)
    return values and {**values, **(_ask(program, "-P") or {})}  # before 2.11 it has no -P


def _ask(program: str, *words: str) -> dict[str, str] | None:
    command = [program, "-x", *words]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines} if done.returncode == 0 else None


def examine_postfix(values: Mapping[str, str], apex: str) -> Iterator[Finding]:
    """Judge how main.cf uses a zone: `values` are its settings by name, and those of services in master.cf."""
    found = []
    for name in LISTS:
        words = _split(values.get(name, ""))
        places = [n for n, word in enumerate(words) if n and words[n - 1] == "reject_rbl_client" and _is(word, apex)]
        if not places:
            continue
        found.append(name)
        missing = [word for word in _needed(values, name) if word not in words[: places[0]]]
        if missing:
            what = f"{name} asks {apex} before {' and '.join(missing)}: your own users could be refused"
            at = places[0] - 1
            yield Finding("postfix", "wrong", what, _postconf(name, [*words[:at], *missing, *words[at:]]))
        else:
            yield Finding("postfix", "right", f"{name} asks {apex}")
    if any(_is(word.partition("*")[0], apex) for word in _split(values.get(POSTSCREEN, ""))):
        found.append(POSTSCREEN)
        yield Finding("postfix", "right", f"{POSTSCREEN} asks {apex}")
    if not found:
        needed = _needed(values, RECIPIENT)
        words = _split(values.get(RECIPIENT, "")) or [*needed, "reject_unauth_destination"]
        at = len(words) - (words[-1] in FINAL)
        missing = [word for word in needed if word not in words[:at]]
        asks = ["reject_rbl_client", f"{apex}={FILTER}"]
        mend = _postconf(RECIPIENT, [*words[:at], *missing, *asks, *words[at:]])
        yield Finding("postfix", "wrong", f"does not ask {apex}", mend)


def _needed(values: Mapping[str, str], name: str) -> list[str]:
    """Give what must permit your own users in a list: those who log in, if a service that lets them has that list."""
    services = [key.removesuffix(SASL) for key, value in values.items() if key.endswith(f"/{SASL}") and value == "yes"]
    log_in = values.get(SASL) == "yes" or any(f"{service}{name}" not in values for service in services)
    return ["permit_mynetworks", *(["permit_sasl_authenticated"] if log_in else [])]


def _split(value: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", value) if word]


def _postconf(name: str, words: Sequence[str]) -> str:
    """Give the command that makes this the list of restrictions: all that was in it stays."""
    wanted = f"{name} = {' '.join(words)}"
    return f"postconf -e {shlex.quote(wanted)} && postfix reload"


def _is(word: str, apex: str) -> bool:
    return word.partition("=")[0].rstrip(".").lower() == apex
