"""`repzone policy`: which rules are in force, what a file would change, and what it would have changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from repzone import shipped
from repzone.cli.database import open_server
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_past
from repzone.cli.output import console, counted, print_json, print_table, table, utc
from repzone.cli.progress import event_bar
from repzone.cli.simulated import print_objects, print_tables
from repzone.cli.wall import clock
from repzone.config import Settings, load, read_text
from repzone.definitions import load_policy
from repzone.errors import RepzoneError, UsageError
from repzone.jobs import simulate as job
from repzone.policy.rules import Policy, Rulebook, differences, parse, to_text
from repzone.reasons import CATALOGUE, COUNTED
from repzone.store.engine import Engine, answering, require_current
from repzone.store.policies import load_rulebook
from repzone.toml import format_duration
from repzone.zone.texts import format_instant

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="What is punished how: the rules in force, and what others would do or would have done.",
)
FileArgument = Annotated[Path | None, typer.Argument(metavar="FILE", help="A policy file.", show_default=False)]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="The same, as an option.", show_default=False)
]


@app.command()
def show(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    toml: Annotated[bool, typer.Option("--toml", help="Only the whole policy as a file, to be changed.")] = False,
) -> None:
    """Show the policy in force, in words and as TOML, and since when which one is or was in force.

    Changes nothing: a policy file that was edited since is in force from the next `ingest` or `calculate`.

    Example: repzone policy show --toml > new.toml
    """
    settings = load(config)
    now = clock()
    with _opened(settings) as engine:
        rulebook = _load_rulebook(engine)
    version = rulebook.at(now)
    if output is Output.json:
        running = {"what": "policy", "version": version.id, "since": utc(version.effective_from)}
        print_json({**running, **version.policy.model_dump(mode="json")})
        for one in rulebook.versions:
            print_json({"what": "version", "version": one.id, "since": utc(one.effective_from)})
    elif toml:
        console.print(to_text(version.policy), markup=False, soft_wrap=True, end="")
    else:
        _print_words(version.policy)
        _print_versions(rulebook)
        console.print(to_text(version.policy), markup=False, soft_wrap=True, end="")
        newest = rulebook.versions[-1]
        if differences(newest.policy, parse(*load_policy(settings))):
            console.print("The policy file was changed: see `repzone policy check`.", style="yellow")
        elif newest.effective_from > now:
            since = format_instant(newest.effective_from)
            console.print(f"Version {newest.id} is in force from {since}, behind what has been read.", style="yellow")


@app.command()
def check(
    file: FileArgument = None,
    policy: PolicyOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Check a policy file, and say what is different from the policy in force. Without FILE it is the configured one.

    Exit code 78 when it is not valid.

    Example: repzone policy check new.toml
    """
    settings = load(config)
    file = _one_of(file, policy)
    text, source = (read_text(file), str(file)) if file else load_policy(settings)
    new = parse(text, source)
    now = clock()
    with _opened(settings) as engine:
        rulebook = _load_rulebook(engine)
    found = differences(rulebook.at(now).policy, new)
    if output is Output.json:
        for key, old, value in found:
            print_json({"key": key, "running": old or None, "file": value or None})
        return
    if not found:
        console.print(Text(f"{source} is valid, and says what is in force."))
        return
    newest = rulebook.versions[-1]
    waits = newest.effective_from > now and not differences(newest.policy, new)
    when = (
        f"will change at {format_instant(newest.effective_from)}, by version {newest.id}" if waits else "would change"
    )
    console.print(Text(f"{source} is valid. {counted(len(found), 'key')} {when}:"))
    made = table("key", "in force", "in the file")
    for key, old, value in found:
        made.add_row(Text(key), Text(old or "-"), Text(value or "-"))
    print_table(made)


@app.command()
def simulate(
    file: FileArgument = None,
    policy: PolicyOption = None,
    since: Annotated[str, typer.Option("--since", metavar="T", help="How far back: 30d, 4h, 2026-11-24.")] = "30d",
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Replay what happened under another policy, and show who would have been listed differently.

    Nothing is written. Listings begun before that time stand as they are; releases, bans and exemptions are as they
    were. Without FILE it is the policies that were in force: nothing should be different then.

    Example: repzone policy simulate --policy new.toml --since 30d
    """
    settings = load(config)
    file = _one_of(file, policy)
    other = parse(read_text(file), str(file)) if file else None
    now = clock()
    start = parse_past(since, now)
    with _opened(settings) as engine:
        _load_rulebook(engine)
        with event_bar() as progress:
            outcome = job.run(engine, other, start, now, progress)
    if output is Output.json:
        print_objects(outcome)
    else:
        print_tables(outcome)


def _one_of(file: Path | None, policy: Path | None) -> Path | None:
    """Give the file that was named in either way."""
    if file and policy:
        raise UsageError(f"name one policy file: {file} or {policy}")
    return file or policy


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    """Give the database as it is: no policy is put in force by looking at it."""
    with open_server(settings) as engine:
        require_current(engine, shipped.folder("migrations"))
        yield engine


def _load_rulebook(engine: Engine) -> Rulebook:
    with answering(), engine.connect() as connection:
        try:
            return load_rulebook(connection)
        except ValueError:
            raise RepzoneError("no policy was ever in force: `repzone calculate` puts the configured one in") from None


def _print_words(policy: Policy) -> None:
    made = table("category", ">points", "within", "listed for", "spared by clean mail", "")
    for category in COUNTED:
        rules = policy.rules(category)
        lengths = [format_duration(policy.duration(category, n + 1)) for n in range(len(rules.durations))]
        spared = f"above {rules.max_clean:g} x its offences" if rules.max_clean is not None else "never"
        made.add_row(
            *(category, f"{rules.threshold:,}", format_duration(rules.window), ", ".join(lengths), spared),
            "shadow" if rules.shadow else "",
        )
    print_table(made)
    brake = f"{policy.brake_listings:,}" if policy.brake_listings else "1,000, or a fifth of the active ones if more,"
    console.print(
        f"The first listing lasts for the first length, the next for the next; one counts for "
        f"{format_duration(policy.offence_memory)}. IPv6 clients are listed as /{policy.ipv6_prefix}. "
        f"Of the listings that begin within an hour, those beyond {brake} are held."
    )
    points: dict[int, list[str]] = {}
    for reason in CATALOGUE:
        points.setdefault(policy.weight(reason), []).append(reason)
    for number in sorted(points.keys() - {1}, reverse=True):
        console.print(f"{counted(number, 'point')}: {', '.join(points[number])}.")
    console.print("1 point: all others.\n")


def _print_versions(rulebook: Rulebook) -> None:
    made = table(">version", "!in force from", "changed")
    before: Policy | None = None
    for version in rulebook.versions:
        changed = [key for key, _, _ in differences(before, version.policy)] if before else []
        begin = (
            format_instant(version.effective_from)
            if before
            else f"ever (loaded {format_instant(version.effective_from)})"
        )
        made.add_row(str(version.id), begin, ", ".join(changed))
        before = version.policy
    print_table(made)
    console.print()
