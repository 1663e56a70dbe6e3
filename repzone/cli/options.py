"""The options that commands share, and the words on the command line that become values."""

import getpass
import os
from collections.abc import Collection
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from repzone.config import load
from repzone.definitions import load_zones
from repzone.errors import ConfigError
from repzone.model import Client
from repzone.reasons import CATALOGUE
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


def complete_reason() -> list[str]:
    """Offer every reason to the shell."""
    return list(CATALOGUE)


def complete_apex() -> list[str]:
    """Offer the zones of the configuration to the shell, if it can be read."""
    try:
        return [zone.apex for zone in load_zones(load())]
    except ConfigError:
        return []


def one_of(word: str | None, words: Collection[str], option: str) -> Any:
    """Give back what an option says if it is one of these words; else name those that may have been meant."""
    if word is not None and word not in words:
        near = get_close_matches(word, words) or list(words)
        raise typer.BadParameter(f"there is no {word!r}; write {' or '.join(near[:7])}", param_hint=option)
    return word


def author() -> str:
    """Give the name of whoever acts: behind sudo the one who called it."""
    name = os.environ.get("SUDO_USER") or ""
    try:
        return name or getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return str(os.getuid())


def parse_length(text: str) -> int:
    """Read the duration that --for gives, such as 4h or 2d, as seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None


def parse_since(text: str, now: int) -> int:
    """Read when something began, as --since gives it: so long ago (30d, 4h), a date, an instant (UTC unless said)."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        wanted = f"{text!r}: write for example 30d, 4h, 2026-11-24 or 2026-11-24T08:00Z"
        raise typer.BadParameter(wanted, param_hint="--since") from None
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())


def parse_past(text: str, now: int) -> int:
    """Read when something began, which has to be before now."""
    began = parse_since(text, now)
    if began >= now:
        raise typer.BadParameter(f"{text!r} is not in the past", param_hint="--since")
    return began


_ECHO = 60
"""Characters of what is no address that are said again: somebody may have pasted a whole rejection."""


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _ECHO else f"{text[: _ECHO - 1]}…")


def parse_network(text: str) -> Client:
    """Read an address or a network (192.0.2.0/24) of the command line."""
    try:
        return Client.from_text(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise typer.BadParameter(f"{_quoted(text)} has bits behind its prefix length") from None
        raise typer.BadParameter(f"{_quoted(text)} is no address or network; write 192.0.2.1 or 192.0.2.0/24") from None


def parse_address(text: str) -> Client:
    """Read one IPv4 or IPv6 address of the command line."""
    try:
        client = Client.from_text(text)
    except ValueError:
        raise typer.BadParameter(f"{_quoted(text)} is no IPv4 or IPv6 address") from None
    if not client.is_address:
        raise typer.BadParameter(f"{_quoted(text)} is a network; give one address")
    return client
