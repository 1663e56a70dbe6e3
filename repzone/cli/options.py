"""The options that commands share, and the words on the command line that become values."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from repzone.model import Client


class Output(StrEnum):
    """How a command prints: for people, or one JSON object a line."""

    human = "human"
    json = "json"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="Configuration; else repzone.toml in /etc/repzone or here.",
        show_default=False,
    ),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="For people, or one JSON object a line.")]


def parse_address(text: str) -> Client:
    """Read one IPv4 or IPv6 address of the command line."""
    try:
        client = Client.from_text(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no IPv4 or IPv6 address") from None
    if not client.is_address:
        raise typer.BadParameter(f"{text!r} is a network; give one address")
    return client
