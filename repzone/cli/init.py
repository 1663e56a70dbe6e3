"""`repzone init`: the configuration with its comments, and the database."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from repzone import shipped
from repzone.cli.database import open_database, open_server
from repzone.cli.options import Output, OutputOption
from repzone.cli.output import console, print_json
from repzone.cli.wall import clock
from repzone.config import NAME, TEMPLATE, load, load_zones
from repzone.errors import RepzoneError
from repzone.policy.rules import INITIAL
from repzone.store.migrate import upgrade


def init(
    config: Annotated[
        Path, typer.Option("-c", "--config", metavar="FILE", help="Where the configuration goes.")
    ] = Path(NAME),
    output: OutputOption = Output.human,
) -> None:
    """Write repzone.toml, policy.toml and zones/ with their comments, and make or migrate the database.

    What is already there stays as it is.

    Example: mkdir /etc/repzone && cd /etc/repzone && repzone init
    """
    folder = config.absolute().parent
    contents = {config.absolute(): TEMPLATE, folder / "policy.toml": INITIAL}
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
    with open_database(settings, clock):
        pass  # the policy is in force from now on
    if output is Output.json:
        print_json({"written": [str(file) for file in written], "server": schema.server, "revision": schema.revision})
        return
    for file in written:
        console.print(f"Wrote {file}", markup=False, soft_wrap=True)
    console.print(f"The database is ready (PostgreSQL {schema.server}, revision {schema.revision}).")
    console.print(
        f"Next: put your own names into {folder / 'zones'} (now: {', '.join(zone.apex for zone in zones)}), then\n"
        "  repzone ingest        read the logs\n"
        "  repzone serve dns     answer your mail servers",
        markup=False,
        soft_wrap=True,
    )
