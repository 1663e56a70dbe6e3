"""`repzone init`: the configuration with its comments, and the database."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from repzone import shipped
from repzone.cli.database import open_database, open_server
from repzone.cli.mynetworks import Trusted, load_trusted
from repzone.cli.options import Output, OutputOption
from repzone.cli.output import console, plain, print_json
from repzone.cli.wall import clock
from repzone.config import NAME, SYSTEM, TEMPLATE, load
from repzone.definitions import load_zones
from repzone.errors import RepzoneError
from repzone.model import Client
from repzone.policy.rules import INITIAL
from repzone.store.migrate import upgrade


def init(
    config: Annotated[
        Path, typer.Option("-c", "--config", metavar="FILE", help="Where the configuration goes.")
    ] = Path(NAME),
    output: OutputOption = Output.human,
) -> None:
    """Write repzone.toml, policy.toml and zones/ with their comments, and make or migrate the database.

    What is already there stays as it is. Where Postfix is, the networks that its main.cf lets relay (mynetworks) become
    own_networks; wide ones, and those that Postfix found by itself, are proposed in a comment. In /etc/repzone the
    private database goes to /var/lib/repzone, where the systemd units may write; elsewhere beside the configuration.

    Example: mkdir /etc/repzone && cd /etc/repzone && repzone init
    """
    folder = config.absolute().parent
    trusted = None if config.exists() else load_trusted()
    contents = {config.absolute(): _template(trusted, folder), folder / "policy.toml": INITIAL}
    written = []
    try:
        for file, text in contents.items():
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
                written.append(file)
        if not (folder / "zones").exists():
            (folder / "zones").mkdir()
            zone = folder / "zones" / "bl.toml"
            shutil.copyfile(shipped.folder("zones") / "bl.toml", zone)
            written.append(zone)
    except OSError as error:
        raise RepzoneError(f"{error.filename}: cannot be written: {error.strerror}") from None
    settings = load(config)
    zones = load_zones(settings)
    with open_server(settings) as engine:
        schema = upgrade(engine, shipped.folder("migrations"))
    with open_database(settings, clock, deciding=True):
        pass  # the policy is in force from now on
    if output is Output.json:
        fields = {"written": [str(file) for file in written], "server": schema.server, "revision": schema.revision}
        print_json({**fields, "own_networks": [str(network) for network in settings.own_networks]})
        return
    for file in written:
        console.print(f"Wrote {file}", markup=False, soft_wrap=True)
    if not written:
        console.print(f"Wrote nothing: what is in {folder} stays as it is.", markup=False, soft_wrap=True)
    _print_trusted(trusted)
    if config.absolute() in written and folder == SYSTEM.parent:
        console.print(f"The state, and the private database, go to {STATE}, as the systemd units have it.")
    console.print(f"The database is ready (PostgreSQL {schema.server}, revision {schema.revision}).")
    console.print(
        f"Next: put your own names into {folder / 'zones'} (now: {', '.join(zone.apex for zone in zones)}), then\n"
        "  repzone ingest        read the logs\n"
        "  repzone serve dns     answer your mail servers",
        markup=False,
        soft_wrap=True,
    )


_NONE = "own_networks = []"
_STATE = 'state_dir = "state"'
STATE = "/var/lib/repzone"
"""The folder that systemd's StateDirectory=repzone makes (systemd.exec(5))."""


def _template(trusted: Trusted | None, folder: Path) -> str:
    """Give the configuration for a folder."""
    text = _with_networks(trusted)
    return text.replace(_STATE, f'state_dir = "{STATE}"', 1) if folder == SYSTEM.parent else text


def _with_networks(trusted: Trusted | None) -> str:
    """Give the configuration with what Postfix trusts, as a value or as a comment."""
    if trusted is None or not (trusted.own or trusted.doubtful):
        return TEMPLATE
    begin, _, rest = TEMPLATE.partition(_NONE)
    _, _, rest = rest.partition("\n")
    lines = []
    if trusted.own:
        lines.append("# Postfix lets these relay (mynetworks), so they are taken for yours: take out what is not.")
    if trusted.doubtful:
        lines.append(f"# Postfix trusts these (mynetworks); are they yours alone? {_list(trusted.doubtful)}")
    value = f"own_networks = {_list(trusted.own)}"
    return "\n".join([begin.rstrip("\n"), *lines, value, rest])


def _list(networks: Iterable[Client]) -> str:
    return "[" + ", ".join(f'"{network}"' for network in networks) + "]"


def _print_trusted(trusted: Trusted | None) -> None:
    """Say what was made of Postfix's mynetworks."""
    if trusted is None:
        return
    own, doubtful = (", ".join(map(str, networks)) for networks in (trusted.own, trusted.doubtful))
    if own:
        console.print(f"Own networks, since Postfix lets them relay: {own}", soft_wrap=True)
    if doubtful:
        console.print(f"Only as a comment: Postfix trusts {doubtful}; are they yours alone?", soft_wrap=True)
    if trusted.others:
        words = plain(" ".join(trusted.others))
        said = f"Not read: mynetworks also has {words}; `repzone allow import` reads lists of networks."
        console.print(said, markup=False, soft_wrap=True)
