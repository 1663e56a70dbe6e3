"""Settings, policy and zones in, what every page is made of out; built whole at start and at SIGHUP."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from repzone.config import LOGOS, Operator, Settings
from repzone.definitions import Definitions, parse_zones, read_definitions
from repzone.policy import rules
from repzone.policy.rules import Policy
from repzone.web.rules import Rule, describe
from repzone.zone.definition import Zone, arrange

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages need: its octets, type, and a digest that changes its URL when it changes."""

    octets: bytes
    type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Site:
    """Who runs this, by which rules, with which zones; and the files of the pages by name."""

    operator: Operator
    detail: str
    max_stale: int
    zones: tuple[Zone, ...]
    policy: Policy
    rules: tuple[Rule, ...]
    assets: dict[str, Asset]

    @property
    def name(self) -> str:
        """The operator's name, else that of the first zone."""
        return self.operator.name or self.zones[0].apex

    @property
    def logo(self) -> bool:
        """Tell whether there is a logo."""
        return "logo" in self.assets

    @property
    def steps(self) -> int:
        """The length of the longest ladder."""
        return max((len(rule.ladder) for rule in self.rules), default=1)

    @property
    def longest_ttl(self) -> int:
        """The seconds for which a refusal may be remembered by those who asked the zones."""
        return max(zone.ttl for zone in self.zones)

    def asset(self, name: str) -> str:
        """Give the URL of a file, relative to the pages' root."""
        return f"/static/{name}?v={self.assets[name].digest}"


def build(settings: Settings, definitions: Definitions | None = None) -> Site:
    """Read policy, zones and files, or take definitions that were read; ConfigError names what does not fit."""
    definitions = definitions or read_definitions(settings)
    zones = arrange(parse_zones(definitions, settings))
    policy = rules.parse(*definitions.policy)
    operator = settings.operator
    theme = (
        f":root{{--link:{operator.colour}}}@media (prefers-color-scheme:dark){{:root{{--link:{operator.colour_dark}}}}}"
    )
    assets = {
        "page.css": _asset((STATIC / "page.css").read_bytes(), "text/css; charset=utf-8"),
        "page.js": _asset((STATIC / "page.js").read_bytes(), "text/javascript; charset=utf-8"),
        "theme.css": _asset(theme.encode(), "text/css; charset=utf-8"),
    }
    if operator.logo is not None:
        assets["logo"] = _asset(operator.logo.read_bytes(), LOGOS[operator.logo.suffix])
    blocking = tuple(zone for zone in zones if zone.kind == "block")
    return Site(
        operator=operator,
        detail=settings.public_detail,
        max_stale=settings.max_stale,
        zones=zones,
        policy=policy,
        rules=describe(policy, blocking),
        assets=assets,
    )


def _asset(octets: bytes, kind: str) -> Asset:
    return Asset(octets, kind, hashlib.sha256(octets).hexdigest()[:12])
