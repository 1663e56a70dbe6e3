"""`repzone zone accept`: let the DNS server take a zone that lacks over half of what it serves."""

from repzone.cli.options import ConfigOption, Output, OutputOption, YesOption
from repzone.cli.output import counted, print_json, utc
from repzone.config import load
from repzone.errors import RepzoneError
from repzone.jobs.hold import accept as accept_held
from repzone.jobs.hold import load_held


def accept(config: ConfigOption = None, yes: YesOption = False, output: OutputOption = Output.human) -> None:
    """Let the DNS server of this host take the zone that it holds back.

    A server that must load everything anew, and would lose over half of what it lists without any change that says
    why, goes on with what it has: the database may be an old dump, or the wrong one. Without --yes this only shows
    what would go. Exit code 1 when nothing is held.

    Example: repzone zone accept --yes
    """
    folder = load(config).state_dir
    held = load_held(folder)
    if held is None:
        raise RepzoneError(f"no reload is held by a server whose state_dir is {folder}")
    if yes:
        accept_held(folder)
    if output is Output.json:
        print_json(
            {
                "since": utc(held.since),
                "serial": held.serial,
                "listed": held.listed,
                "offered": held.offered,
                "lost": held.lost,
                "accepted": yes,
            }
        )
        return
    print(
        f"Held since {utc(held.since)}: the server lists {held.listed:,}, the database (serial {held.serial}) "
        f"{held.offered:,}; {counted(held.lost, 'listing')} would go, and nothing says why."
    )
    print("Accepted: the server takes it within seconds." if yes else "Run it with --yes if the database is right.")
