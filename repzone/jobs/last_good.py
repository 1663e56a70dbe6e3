"""Settings in, the policy and zone texts that a server goes by out: the files', else the last good ones.

A server that has read good files keeps their texts in `state_dir`, so that it can start while a later edit is faulty.
They are of the folder and the policy file that the settings name now, or they are not used.
"""

from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter, ValidationError

from repzone import atomic
from repzone.config import Settings
from repzone.definitions import Definitions, parse_zones, read_definitions
from repzone.errors import ConfigError

NAME = "definitions.json"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """Definitions, and the folder and the file that they were read from."""

    zones_dir: str
    policy_file: str
    definitions: Definitions


_KEPT = TypeAdapter(Kept)


def load(settings: Settings) -> tuple[Definitions, str]:
    """Give what a server starts with, and what is wrong with the files when it is not what they say now.

    ConfigError when the files are faulty and no good ones were kept.
    """
    try:
        return renew(settings), ""
    except ConfigError as error:
        kept = _read(settings)
        if kept is None:
            raise
        log.error("files.refused", error=str(error), instead=str(settings.state_dir / NAME))
        return kept, str(error)


def renew(settings: Settings) -> Definitions:
    """Read the files and keep what they say; ConfigError when they are faulty: then nothing changes."""
    found = read_definitions(settings)
    parse_zones(found, settings)
    _keep(settings, found)
    return found


def _of(settings: Settings, definitions: Definitions) -> Kept:
    folder, file = (str(path and path.resolve()) for path in (settings.zones_dir, settings.policy_file))
    return Kept(folder, file, definitions)


def _read(settings: Settings) -> Definitions | None:
    """Give what was kept; None when there is nothing that can be used."""
    file = settings.state_dir / NAME
    try:
        kept = _KEPT.validate_json(file.read_bytes())
        if kept != _of(settings, kept.definitions):
            return None
        parse_zones(kept.definitions, settings)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, ConfigError) as error:
        log.error("files.kept_unusable", file=str(file), error=str(error).partition("\n")[0])
        return None
    return kept.definitions


def _keep(settings: Settings, definitions: Definitions) -> None:
    """Put them in the place of those kept before, unless they are the same; a disk that is full keeps nobody back."""
    file = settings.state_dir / NAME
    octets = _KEPT.dump_json(_of(settings, definitions), indent=1)
    try:
        if file.exists() and file.read_bytes() == octets:
            return
        atomic.replace(file, [octets])
    except OSError as error:
        log.error("files.not_kept", file=str(file), error=error.strerror)
