"""The files of policy and zones in, their texts and what these define out."""

from dataclasses import dataclass

from repzone import shipped
from repzone.config import Settings, read_text
from repzone.errors import ConfigError
from repzone.policy import rules
from repzone.zone.definition import Zone
from repzone.zone.definition import parse as parse_zone


def load_policy(settings: Settings) -> tuple[str, str]:
    """Give the policy's text and the file's name for error messages: the configured one, else the shipped one."""
    if settings.policy_file is None:
        return rules.SHIPPED, "the shipped policy"
    text, source = read_text(settings.policy_file), str(settings.policy_file)
    rules.parse(text, source)
    return text, source


@dataclass(frozen=True, slots=True)
class Definitions:
    """What the policy and the zone files say: the text of each, and the file's name for error messages."""

    policy: tuple[str, str]
    zones: tuple[tuple[str, str], ...]


def read_definitions(settings: Settings, policy: tuple[str, str] | None = None) -> Definitions:
    """Read the policy, unless one is given, and every zone file; ConfigError when one is off, or there is no zone."""
    folder = settings.zones_dir or shipped.folder("zones")
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ConfigError(str(folder), "", "there is no zone definition (*.toml) in this folder")
    return Definitions(policy or load_policy(settings), tuple((read_text(file), str(file)) for file in files))


def parse_zones(definitions: Definitions, settings: Settings) -> list[Zone]:
    """Give the zones that are defined; ConfigError when a definition is off, or two are of one apex."""
    messages = rules.parse(*definitions.policy).messages()
    zones: dict[str, Zone] = {}
    for text, source in definitions.zones:
        zone = parse_zone(text, source, messages=messages, own_networks=settings.own_networks)
        if zone.apex in zones:
            raise ConfigError(source, "apex", f"{zone.apex} is defined in another file of this folder too")
        zones[zone.apex] = zone
    return list(zones.values())


def load_zones(settings: Settings) -> list[Zone]:
    """Read every zone definition; ConfigError when there is none, or two of one apex."""
    return parse_zones(read_definitions(settings), settings)


def load_silent_zones(settings: Settings) -> list[Zone]:
    """Read them for whoever says nothing to a client: with the messages of the shipped policy, whatever ours is."""
    return parse_zones(read_definitions(settings, (rules.SHIPPED, "the shipped policy")), settings)
