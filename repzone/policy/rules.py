"""Policy text in, `Policy` out; a `Rulebook` gives the policy that was in force at an instant.

SHIPPED is the default of every key: a policy file need only say what it changes. `repzone init` writes INITIAL, which
weighs clean mail too. Durations are seconds once parsed.
"""

import json
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from repzone.errors import ConfigError
from repzone.reasons import CATALOGUE, Category
from repzone.toml import Duration, Section, format_duration, validate

SHIPPED = """\
# What an offence costs. Durations are written 90d, 24h, 10m, 600s.
# Changes are in force from the moment they are first loaded; older events keep the policy of their time.

offence_memory = "90d"  # how long an earlier listing makes the next one longer
max_duration = "24h"    # no listing is longer, whatever the ladder says
min_duration = "0s"     # no listing is shorter
ipv6_prefix = 64        # an IPv6 client is listed as the network of this length

# When the points of the last `window` reach `threshold`, the client is listed; the first time for the first
# of `durations`, the second time for the second, and so on; the last one also for every further time.
# `shadow = true` decides and shows, but publishes nothing.
# `max_clean = 20` spares a client whose accepted messages outnumber its offences by more than that factor, over the
# window or a day, whichever is longer: a big provider is not listed for the few spammers among its customers.

# When more listings than this begin within an hour, further ones are held until you have looked at them
# (`repzone held list`); unless said: 1,000, or a fifth of the active ones if that is more.
# brake_listings = 1000

[categories.errors]
threshold = 10
window = "1h"
durations = ["2h", "4h", "8h", "16h", "24h"]
message = "Too many errors from your IP"
# max_clean = 20

[categories.spam]
threshold = 3
window = "6h"
durations = ["3h", "6h", "12h", "24h"]
message = "Too many spams from your IP"
# max_clean = 20

[categories.virus]
threshold = 1
window = "1h"
durations = ["24h"]
message = "Too many viruses from your IP"

[categories.auth]
threshold = 10
window = "1h"
durations = ["2h", "4h", "8h", "16h", "24h"]
message = "Too many authentication errors from your IP"

# Points of one event of a reason; a reason that is not named has 1. Weight 0 is seen and shown, and never counts.
[weights]
pregreet = 5
non_smtp_command = 5
improper_pipelining = 5
too_many_errors = 5
bare_newline = 5
relay_denied = 2
greylist_never_retried = 2
greylisted = 0
dnsbl_listed = 0
spf_fail = 0
tls_failed = 0
rdns_missing = 0
rdns_mismatch = 0
no_auth_attempt = 0
spam_tagged = 0
"""

INITIAL = SHIPPED.replace("\n# max_clean", "\nmax_clean")

HOUR, DAY = 3600, 86400
FOREVER = 1 << 62
"""Behind every instant."""

Length = Annotated[Duration, Field(ge=1, le=366 * DAY)]


def _know_reason(reason: str) -> str:
    if reason not in CATALOGUE:
        raise ValueError(f"there is no reason {reason!r}")
    return reason


Reason = Annotated[str, AfterValidator(_know_reason)]


class CategoryRules(Section):
    """When a listing of one category begins, and how long it lasts."""

    threshold: int = Field(ge=1, le=1_000_000)
    window: Annotated[Duration, Field(ge=1, le=30 * DAY)]
    durations: tuple[Length, ...] = Field(min_length=1, max_length=100)
    shadow: bool = False
    max_clean: float | None = Field(default=None, gt=0)
    message: str = Field(min_length=1, max_length=60, pattern=r"^[ -~]+$")

    @property
    def span(self) -> int:
        """The seconds over which clean mail is weighed against offences."""
        return max(self.window, DAY)


class Categories(Section):
    """The rules of every category that events are punished in."""

    errors: CategoryRules
    spam: CategoryRules
    virus: CategoryRules
    auth: CategoryRules


class Policy(Section):
    """One whole policy."""

    offence_memory: Annotated[Duration, Field(ge=0, le=3660 * DAY)]
    max_duration: Length
    min_duration: Annotated[Duration, Field(ge=0, le=366 * DAY)]
    ipv6_prefix: int = Field(ge=32, le=128)
    brake_listings: int | None = Field(default=None, ge=1)
    categories: Categories
    weights: dict[Reason, Annotated[int, Field(ge=0, le=10_000, strict=True)]]

    @model_validator(mode="after")
    def _order_durations(self) -> Self:
        if self.min_duration > self.max_duration:
            raise ValueError("min_duration is longer than max_duration")
        return self

    def rules(self, category: Category) -> CategoryRules:
        """Give the rules of a category that events are punished in."""
        rules: CategoryRules = getattr(self.categories, category)
        return rules

    def weight(self, reason: str) -> int:
        """Give the points of one event of that reason."""
        return self.weights.get(reason, 1)

    def duration(self, category: Category, offence: int) -> int:
        """Give the seconds that the listing with this offence number (from 1) lasts."""
        ladder = self.rules(category).durations
        length = ladder[min(offence, len(ladder)) - 1]
        return max(self.min_duration, min(length, self.max_duration))

    def messages(self) -> dict[str, str]:
        """Give the sentence with which the TXT of each category begins."""
        return {name: rules.message for name, rules in self.categories}


def parse(text: str, source: str) -> Policy:
    """Read a policy file laid over the shipped one; ConfigError names file, line, key and the value wanted."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, "", f"not valid TOML: {error}") from None
    return validate(_laid_over(tomllib.loads(SHIPPED), values), source, Policy, text)


def _laid_over(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


@dataclass(frozen=True, slots=True)
class Version:
    """A policy and the instant from which it is in force."""

    id: int
    effective_from: int
    policy: Policy


class Rulebook:
    """The policies in order of time; the first one is in force for all earlier time too."""

    def __init__(self, versions: Sequence[Version]) -> None:
        """Take at least one version; of several with one instant the last is in force."""
        if not versions:
            raise ValueError("a rulebook needs a policy")
        self.versions = tuple(sorted(versions, key=lambda version: (version.effective_from, version.id)))
        self._starts = [version.effective_from for version in self.versions]

    def at(self, instant: int) -> Version:
        """Give the version in force at that instant."""
        return self.versions[max(0, bisect_right(self._starts, instant) - 1)]

    def in_force(self, instant: int) -> tuple[Version, int]:
        """Give the version in force at that instant, and the instant from which it no longer is."""
        behind = max(1, bisect_right(self._starts, instant))
        return self.versions[behind - 1], self._starts[behind] if behind < len(self._starts) else FOREVER

    def reach(self, category: Category) -> int:
        """Give how far back in seconds an event can matter by any version."""
        return max(
            rules.window if rules.max_clean is None else rules.span
            for rules in (version.policy.rules(category) for version in self.versions)
        )

    def weighs_clean(self, category: Category) -> bool:
        """Tell whether any version weighs clean mail against offences of that category."""
        return any(version.policy.rules(category).max_clean is not None for version in self.versions)


def to_text(policy: Policy) -> str:
    """Write a whole policy as TOML: `parse` reads the same policy back."""
    top = {
        "offence_memory": format_duration(policy.offence_memory),
        "max_duration": format_duration(policy.max_duration),
        "min_duration": format_duration(policy.min_duration),
        "ipv6_prefix": policy.ipv6_prefix,
        "brake_listings": policy.brake_listings,
    }
    tables = {
        f"categories.{name}": {
            "threshold": rules.threshold,
            "window": format_duration(rules.window),
            "durations": [format_duration(length) for length in rules.durations],
            "shadow": rules.shadow,
            "max_clean": rules.max_clean,
            "message": rules.message,
        }
        for name, rules in policy.categories
    }
    tables["weights"] = dict(policy.weights)
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items() if value is not None]
    for name, values in tables.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def differences(old: Policy, new: Policy) -> list[tuple[str, str, str]]:
    """Give each key that differs, with its value in both as a policy file writes it; "" where there is none."""
    before, after = _flat(old), _flat(new)
    keys = dict.fromkeys((*after, *before))
    return [(key, before.get(key, ""), after.get(key, "")) for key in keys if before.get(key) != after.get(key)]


def _flat(policy: Policy) -> dict[str, str]:
    """Give every value as TOML by its dotted key; a reason that is not named has its weight 1."""
    weights = {reason: policy.weight(reason) for reason in CATALOGUE}
    values = tomllib.loads(to_text(policy.model_copy(update={"weights": weights})))
    flat: dict[str, str] = {}

    def add(prefix: str, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                add(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = json.dumps(value)

    add("", values)
    return flat
