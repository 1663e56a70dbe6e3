"""What postconf(1) says in, whether Postfix refuses whom a block zone lists out, with the command that mends it.

postconf(5): reject_rbl_client, warn_if_reject, rbl_reply_maps, postscreen_dnsbl_sites. Names of restrictions are the
same in upper case and lower case there.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from repzone.jobs.doctor import Case, Finding
from repzone.reasons import Category

LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
)
RECIPIENT = "smtpd_recipient_restrictions"
ASKS = ("reject_rbl_client", "reject_rbl")
TRIAL = "warn_if_reject"
FINAL = ("permit", "reject", "defer", "permit_auth_destination")
"""Restrictions that nothing behind them is asked after, of mail for one's own domains."""
SASL = "smtpd_sasl_auth_enable"
SCREEN, ACTION, THRESHOLD = "postscreen_dnsbl_sites", "postscreen_dnsbl_action", "postscreen_dnsbl_threshold"
COMMAND = "/command"
REPLIES = "rbl_reply_maps"
TABLES = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash")
"""The types of tables that postmap(1) can list."""

_RANGE = r"\d+(?:\.\.\d+)?"
_OCTET = rf"(\d+|\[{_RANGE}(?:;{_RANGE})*\])"
_FILTER = re.compile(r"\.".join([_OCTET] * 4))


@dataclass(frozen=True, slots=True)
class Rule:
    """A restriction that asks the zone: the place of its first word, the zone with its filter, whether it only logs,
    and the final restriction in front of it, if there is one.
    """

    start: int
    asked: str
    trial: bool
    behind: str

    @property
    def stop(self) -> int:
        """The place behind its last word."""
        return self.start + 2 + self.trial


@dataclass(frozen=True, slots=True)
class Site:
    """An entry of `postscreen_dnsbl_sites`."""

    asked: str
    weight: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Where Postfix, as `values` have it, asks a zone with these codes: rules by the list they stand in, and sites."""

    values: Mapping[str, str]
    apex: str
    codes: Mapping[Category, int]
    rules: Mapping[str, Sequence[Rule]]
    sites: Sequence[Site]

    def widened(self, asked: str) -> str:
        """Give the zone with a filter for the codes that this lets through and those that are missing."""
        missing = self.missing()
        wanted = [code for name, code in self.codes.items() if name in missing or _lets(asked, code)]
        numbers = sorted(wanted or self.codes.values())
        last = f"[{';'.join(map(str, numbers))}]" if len(numbers) > 1 else str(numbers[0])
        return f"{self.apex}=127.0.0.{last}"

    def missing(self) -> list[Category]:
        """Give the categories that no filter lets through."""
        asked = [rule.asked for rules in self.rules.values() for rule in rules]
        asked += [site.asked for site in self.sites if _screens(self.values)]
        return [name for name, code in self.codes.items() if not any(_lets(word, code) for word in asked)]


def check_postfix(case: Case) -> Iterator[Finding]:
    """See that Postfix asks each block zone for all its codes, and not about those who may send in any case."""
    values = load_postfix()
    if values is None:
        return
    keys = load_keys(values)
    for zone in case.zones:
        if zone.kind == "block":
            yield from examine_postfix(values, zone.apex, zone.codes, keys)


def load_postfix() -> Mapping[str, str] | None:
    """Ask postconf(1) for what matters; None where there is no Postfix.

    What master.cf says for one service is named as postconf does: `submission/inet/smtpd_sasl_auth_enable`, and
    `smtp/inet/command` for its program.
    """
    program = _find("postconf")
    values = program and _ask(program, *LISTS, SCREEN, ACTION, THRESHOLD, SASL, REPLIES)
    if not program or not values:
        return None  # before 2.11 it has neither -P nor -F
    return {**values, **(_ask(program, "-P") or {}), **(_ask(program, "-F", f"*/*{COMMAND}") or {})}


def load_keys(values: Mapping[str, str]) -> set[str]:
    """List the keys of the tables in `rbl_reply_maps`, as far as postmap(1) can, in lower case."""
    program, keys = _find("postmap"), set()
    for table in _split(values.get(REPLIES, "")):
        plain = table.removeprefix("proxy:")
        if program and plain.partition(":")[0] in TABLES:
            lines = _run(program, "-s", plain) or ""
            keys |= {line.partition("\t")[0].lower() for line in lines.splitlines()}
    return keys


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _ask(program: str, *words: str) -> dict[str, str] | None:
    said = _run(program, "-x", *words)
    lines = (line.partition("=") for line in (said or "").splitlines())
    return None if said is None else {name.strip(): value.strip() for name, _, value in lines}


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def examine_postfix(
    values: Mapping[str, str], apex: str, codes: Mapping[Category, int], keys: Collection[str] = ()
) -> Iterator[Finding]:
    """Judge how Postfix uses a zone: `values` are settings by name, `codes` the zone's by category, `keys` those of
    the reply tables.
    """
    lists = {name: _split(values.get(name, "")) for name in LISTS}
    rules = {name: found for name, words in lists.items() if (found := list(_rules(words, apex)))}
    parts = (word.partition("*") for word in _split(values.get(SCREEN, "")))
    sites = [Site(asked, _number(weight)) for asked, _, weight in parts if _is(asked, apex)]
    usage = Usage(values, apex, codes, rules, sites)
    if not rules and not sites:
        yield Finding("postfix", "wrong", f"does not ask {apex}", _ask_at_recipient(usage))
        return
    fault = _screen_fault(usage) if sites else None
    reached = any(not rule.behind and not _defect(rule.asked) for found in rules.values() for rule in found)
    for name in rules:
        yield from _examine_list(usage, name, elsewhere=reached or bool(sites and not fault))
    if fault and not reached:
        yield fault
    elif sites and (rules or not usage.missing()):
        yield Finding("postfix", "right", f"{SCREEN} asks {apex}")
    yield from _examine_codes(usage)
    yield from _examine_replies(usage, keys)


def _examine_list(usage: Usage, name: str, *, elsewhere: bool) -> Iterator[Finding]:
    """Judge the rules of one list; `elsewhere` says that the zone is asked, so that a rule in vain does no harm."""
    rules, words, apex = usage.rules[name], _split(usage.values[name]), usage.apex
    mend = _postconf(name, _mended(usage, name))
    for rule in rules:
        if defect := _defect(rule.asked):
            yield Finding("postfix", "wrong", f"{name} asks {rule.asked}: {defect}", mend)
        elif rule.behind:
            what = f"{name} asks {apex} behind {rule.behind}: no mail for you comes so far"
            yield Finding("postfix", "warning" if elsewhere else "wrong", what, mend)
        elif rule.trial:
            what = f"{name} asks {apex} behind {TRIAL}: whom it would refuse is only logged"
            yield Finding("postfix", "warning", what, _postconf(name, _mended(usage, name, trial=False)))
    acting = next((rule for rule in rules if not (rule.behind or rule.trial or _defect(rule.asked))), None)
    if acting is None:
        return
    before = [word.lower() for word in words[: acting.start]]
    lacking = [word for word in _needed(usage.values, name) if word not in before]
    if lacking:
        what = f"{name} asks {apex} before {' and '.join(lacking)}: your own users could be refused"
        yield Finding("postfix", "wrong", what, mend)
    elif not usage.missing():
        yield Finding("postfix", "right", f"{name} asks {apex}")


def _examine_codes(usage: Usage) -> Iterator[Finding]:
    """See that somebody asks for each code of the zone."""
    missing, apex = usage.missing(), usage.apex
    defects = [rule for rules in usage.rules.values() for rule in rules if _defect(rule.asked)]
    if not missing or defects or not (usage.rules or _screens(usage.values)):
        return  # what mends a defect asks for all codes
    name = next(iter(usage.rules), SCREEN)
    mend = _postconf(name, _mended(usage, name) if usage.rules else _widened(usage))
    if len(missing) == len(usage.codes):
        yield Finding("postfix", "wrong", f"asks {apex} for none of its codes: nobody is refused", mend)
        return
    named = " and ".join(f"{name} (127.0.0.{usage.codes[name]})" for name in missing)
    vain = "; repzone ban has no effect" if "manual" in missing else ""
    what = f"does not ask {apex} for {named}: who is listed for that alone is not refused{vain}"
    yield Finding("postfix", "warning", what, mend)


def _examine_replies(usage: Usage, keys: Collection[str]) -> Iterator[Finding]:
    """See that replies of the operator's own are found: their key is what the restriction says, with its filter; once
    that is as it should be.
    """
    if usage.missing():
        return
    asked = {rule.asked.lower(): rule.asked for rules in usage.rules.values() for rule in rules}
    unused = sorted(key for key in keys if _is(key, usage.apex) and key not in asked)
    for key, word in asked.items():
        if unused and key not in keys:
            tables = [table.removeprefix("proxy:") for table in _split(usage.values[REPLIES])]
            then = [f"postmap {table}" for table in tables if not table.startswith("texthash:")] + ["postfix reload"]
            what = f"{REPLIES} has a reply for {unused[0]}, and the restriction says {word}: it is never given"
            mend = f"write {word} as its key in {' or '.join(tables)}, then: {' && '.join(then)}"
            yield Finding("postfix", "warning", what, mend)


def _screens(values: Mapping[str, str]) -> bool:
    """Tell whether master.cf runs postscreen(8), as far as is known."""
    programs = [value.split() for name, value in values.items() if name.endswith(COMMAND)]
    return not programs or any(words[:1] == ["postscreen"] for words in programs)


def _screen_fault(usage: Usage) -> Finding | None:
    """Say why postscreen refuses nobody for this zone's sake; None where it does."""
    values, sites, apex = usage.values, usage.sites, usage.apex
    if not _screens(values):
        what = f"{SCREEN} asks {apex}, but no service in master.cf is postscreen"
        return Finding("postfix", "wrong", what, _ask_at_recipient(usage))
    actions = [value for name, value in values.items() if f"/{name}".endswith(f"/{ACTION}")]
    if all(action == "ignore" for action in actions):
        what = f"{SCREEN} asks {apex}, but {ACTION} is ignore: nobody is refused"
        return Finding("postfix", "wrong", what, _postconf(ACTION, ["enforce"]))
    threshold = _number(values.get(THRESHOLD, ""))
    hits = [[site.weight for site in sites if _lets(site.asked, code)] for code in usage.codes.values()]
    most = max((sum(weights) for weights in hits if weights), default=threshold)
    if most >= threshold:
        return None
    others = [_number(word.partition("*")[2]) for word in _split(values[SCREEN]) if not _is(word, apex)]
    alone = most + sum(weight for weight in others if weight > 0) < threshold
    what = f"{SCREEN} gives {apex} {most} of the {threshold} points of {THRESHOLD}: "
    what += "nobody is refused" if alone else "only who is listed elsewhere too is refused"
    return Finding("postfix", "wrong" if alone else "warning", what, _postconf(SCREEN, _reweighted(usage)))


def _reweighted(usage: Usage) -> list[str]:
    """Give `postscreen_dnsbl_sites` with a weight that is enough for each entry of the zone."""
    enough = f"*{usage.values[THRESHOLD]}"
    words = _split(usage.values[SCREEN])
    return [word.partition("*")[0] + enough if _is(word, usage.apex) else word for word in words]


def _widened(usage: Usage) -> list[str]:
    """Give `postscreen_dnsbl_sites` with an entry of the zone that leaves no code out."""
    words = _split(usage.values[SCREEN])
    place = next(n for n, word in enumerate(words) if _is(word, usage.apex))
    asked, star, weight = words[place].partition("*")
    return [*words[:place], usage.widened(asked) + star + weight, *words[place + 1 :]]


def _ask_at_recipient(usage: Usage) -> str:
    """Give the command that has smtpd(8) ask the zone."""
    needed = _needed(usage.values, RECIPIENT)
    words = _split(usage.values.get(RECIPIENT, "")) or [*needed, "reject_unauth_destination"]
    return _postconf(RECIPIENT, _placed(words, needed, [ASKS[0], usage.widened("")], len(words)))


def _mended(usage: Usage, name: str, *, trial: bool = True) -> list[str]:
    """Give a list with its rules where they should stand, and filters that leave no code out; nothing else moves.

    Without `trial` none of them only logs.
    """
    words, rules = _split(usage.values[name]), usage.rules[name]
    narrow = min(rules, key=lambda rule: rule.trial) if next(iter(usage.rules)) == name and usage.missing() else None
    taken = {n for rule in rules for n in range(rule.start, rule.stop)}
    rest = [word for n, word in enumerate(words) if n not in taken]
    last = len([n for n in range(rules[-1].start) if n not in taken])
    said: list[str] = []
    for rule in rules:
        asked = usage.widened(rule.asked) if rule is narrow or _defect(rule.asked) else rule.asked
        said += [*([TRIAL] if rule.trial and trial else []), ASKS[0], asked]
    return _placed(rest, _needed(usage.values, name), said, last)


def _placed(words: Sequence[str], needed: Sequence[str], said: Sequence[str], at: int) -> list[str]:
    """Put a rule at this place, or behind what it needs before it, and before what is final."""
    end = _final(words)
    permits = [n + 1 for n, word in enumerate(words[:end]) if word.lower() in needed]
    lacking = [word for word in needed if word not in [word.lower() for word in words[:end]]]
    at = min(max([at, *permits]), end)
    return [*words[:at], *lacking, *said, *(word for word in words[at:] if word.lower() not in lacking)]


def _rules(words: Sequence[str], apex: str) -> Iterator[Rule]:
    end = _final(words)
    for n, word in enumerate(words):
        if n and words[n - 1].lower() in ASKS and _is(word, apex):
            trial = n > 1 and words[n - 2].lower() == TRIAL
            yield Rule(n - 1 - trial, word, trial, words[end] if end < n else "")


def _final(words: Sequence[str]) -> int:
    """Give the place of the first final restriction, or the end; one that only logs is none."""
    for n, word in enumerate(words):
        logged = n > 0 and words[n - 1].lower() == TRIAL and not word.lower().startswith("permit")
        if word.lower() in FINAL and not logged:
            return n
    return len(words)


def _needed(values: Mapping[str, str], name: str) -> list[str]:
    """Give what must permit your own users in a list: those who log in, if a service that lets them has that list."""
    services = [key.removesuffix(SASL) for key, value in values.items() if key.endswith(f"/{SASL}") and value == "yes"]
    log_in = values.get(SASL) == "yes" or any(f"{service}{name}" not in values for service in services)
    return ["permit_mynetworks", *(["permit_sasl_authenticated"] if log_in else [])]


def _split(value: str) -> list[str]:
    """Give the words of a list; what stands in braces is part of its word."""
    words, depth = [""], 0
    for char in value:
        depth += (char == "{") - (char == "}")
        if depth <= 0 and (char == "," or char.isspace()):
            words.append("")
        else:
            words[-1] += char
    return [word for word in words if word]


def _postconf(name: str, words: Sequence[str]) -> str:
    """Give the command that makes this the value of a setting."""
    wanted = f"{name} = {' '.join(words)}"
    return f"postconf -e {shlex.quote(wanted)} && postfix reload"


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else 1


def _is(word: str, apex: str) -> bool:
    return re.split("[=*]", word, maxsplit=1)[0].rstrip(".").lower() == apex


def _defect(asked: str) -> str:
    """Say what Postfix makes of `zone=d.d.d.d` that it cannot use; "" where it can."""
    domain, _, _ = asked.partition("=")
    if domain.endswith("."):
        return "with a dot at the zone's end Postfix finds nobody"
    octets = _read_filter(asked)
    if octets is None or not all(low <= high <= 255 for ranges in octets for low, high in ranges):
        return "Postfix cannot read this filter, smtpd ends at it, and no mail comes in"
    return ""


def _lets(asked: str, code: int) -> bool:
    """Tell whether `zone=d.d.d.d` counts an answer of 127.0.0.code; without a filter everything counts."""
    octets = _read_filter(asked)
    if _defect(asked) or octets is None:
        return False
    places = zip(octets, (127, 0, 0, code), strict=True)
    return all(any(low <= number <= high for low, high in ranges) for ranges, number in places)


def _read_filter(asked: str) -> list[list[tuple[int, int]]] | None:
    """Give the ranges of each of the four octets in `zone=d.d.d.d`; None where the filter is none."""
    _, equals, text = asked.partition("=")
    found = _FILTER.fullmatch(text)
    if not equals:
        return [[(0, 255)]] * 4
    if found is None:
        return None
    parts = [[part.partition("..") for part in octet.strip("[]").split(";")] for octet in found.groups()]
    return [[(int(low), int(high or low)) for low, _, high in ranges] for ranges in parts]
