"""The options that commands share, and the words on the command line that become values."""

import getpass
import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from repzone.model import Client
from repzone.toml import parse_duration


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


YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]


def author() -> str:
    """Give the name of whoever acts: behind sudo the one who called it."""
    name = os.environ.get("SUDO_USER") or ""
    try:
        return name or getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return str(os.getuid())


def parse_length(text: str) -> int:
    """Read a duration of the command line, such as 4h or 2d, as seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_since(text: str, now: int) -> int:
    """Read when something began: so long ago (30d, 4h), a date, or an instant (2026-11-24T08:00Z; UTC unless said)."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write for example 30d, 4h, 2026-11-24 or 2026-11-24T08:00Z") from None
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())


def parse_network(text: str) -> Client:
    """Read an address or a network (192.0.2.0/24) of the command line."""
    try:
        return Client.from_text(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise typer.BadParameter(f"{text!r} has bits behind its prefix length") from None
        raise typer.BadParameter(f"{text!r} is no address or network; write 192.0.2.1 or 192.0.2.0/24") from None


def parse_address(text: str) -> Client:
    """Read one IPv4 or IPv6 address of the command line."""
    try:
        client = Client.from_text(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no IPv4 or IPv6 address") from None
    if not client.is_address:
        raise typer.BadParameter(f"{text!r} is a network; give one address")
    return client
