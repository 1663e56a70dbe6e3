"""A verdict in, what programs get out: JSON fields, and the document that describes them (OpenAPI 3.1)."""

from datetime import UTC, datetime
from typing import Any

import repzone
from repzone.model import Listing
from repzone.reasons import CATEGORIES
from repzone.web.site import Site
from repzone.web.verdict import Block, Kind, Verdict

PATH = "/api/v1/ip/{address}"


def utc(at: int) -> str:
    """Write an instant as RFC 3339 with Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fields(site: Site, verdict: Verdict) -> dict[str, object]:
    """Give what holds for an address as programs see it."""
    known = verdict.known
    ended = verdict.ended
    return {
        "client": str(verdict.client),
        "listed": verdict.kind in (Kind.blocked, Kind.test),
        "state": str(verdict.kind),
        "listings": [_block_fields(site, block, verdict) for block in verdict.blocks],
        "expires": utc(verdict.expires) if verdict.blocks else None,
        "left": verdict.expires - verdict.now if verdict.blocks else None,
        "ended": {
            **{"category": ended.category, "expires": utc(ended.expires)},
            "false_positive": verdict.mistaken,
        }
        if ended
        else None,
        "serial": known.serial,
        "at": utc(verdict.now),
        "live": known.live,
        "age": known.age,
    }


def _block_fields(site: Site, block: Block, verdict: Verdict) -> dict[str, object]:
    listing, outlook = block.listing, block.outlook
    told: dict[str, object] = {}
    if site.detail != "status" and verdict.known.live:  # a snapshot does not know them
        told["reasons"] = _reasons(site, listing)
    if site.detail == "counts" and verdict.known.live:
        told |= {
            "threshold": block.rules.threshold if block.rules else None,
            "window": block.rules.window if block.rules else None,
        }
    following = None
    if outlook is not None and outlook.state == "active":
        until = utc(outlook.remembered[0]) if outlook.remembered else None
        following = {"offence": outlook.offence, "length": outlook.length, "until": until}
    return {
        "client": str(listing.client),
        "category": listing.category,
        "zones": list(block.zones),
        "offence": listing.offence,
        "began": utc(listing.began),
        "expires": utc(listing.expires),
        "left": listing.expires - verdict.now,
        **told,
        "next": following,
    }


def _reasons(site: Site, listing: Listing) -> dict[str, int] | list[str]:
    """Give what was counted; a spam trap is called spam, so that nobody learns which addresses are traps."""
    counted: dict[str, int] = {}
    for reason, count in listing.reasons.items():
        name = "spam_detected" if reason == "spamtrap" else reason
        counted[name] = counted.get(name, 0) + count
    return counted if site.detail == "counts" else sorted(counted)


def document(site: Site) -> dict[str, Any]:
    """Describe the interface."""
    address = {
        "name": "address",
        "in": "path",
        "required": True,
        "description": "One IPv4 or IPv6 address.",
        "schema": {"type": "string", "maxLength": 64},
        "examples": {"ipv4": {"value": "192.0.2.10"}, "ipv6": {"value": "2001:db8::10"}},
    }
    lang = {"name": "lang", "in": "query", "schema": {"type": "string"}, "description": "en or fr."}
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    errors = {
        "404": {"description": "It is no address, or there is nothing to remind of.", "content": _problem()},
        "429": {"description": "Asked too often.", "headers": retry, "content": _problem()},
        "503": {"description": "Nobody can say at the moment.", "headers": retry, "content": _problem()},
    }

    def get(summary: str, kind: str, schema: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
        answer = {"description": "The answer.", "content": {kind: {"schema": schema}}}
        return {"get": {"summary": summary, "parameters": parameters, "responses": {"200": answer, **errors}}}

    text = {"type": "string"}
    plain = {"text/plain": {"schema": text}}
    whole = get("Whether an address is blocked, why and until when", "application/json", _schema(), [address])
    whole["get"]["responses"]["200"]["content"] |= plain  # to who asks for it by Accept
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{site.name}: is an address blocked?",
            "version": repzone.__version__,
            "description": "No key is needed; 30 questions a minute and 300 a day for each asker.",
        },
        "paths": {
            PATH: whole,
            f"{PATH}.txt": get("The same as plain text", "text/plain", text, [address, lang]),
            f"{PATH}.ics": get("A reminder of the release", "text/calendar", text, [address, lang]),
        },
    }


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["title", "status"],
        "properties": {"title": text, "status": {"type": "integer"}, "detail": text},
    }
    return {"application/problem+json": {"schema": schema}}


def _schema() -> dict[str, Any]:
    instant, number = {"type": "string", "format": "date-time"}, {"type": "integer"}

    def maybe(schema: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [schema, {"type": "null"}]}

    def whole(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
        required = [name for name in properties if name not in optional]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    listing = whole(
        {
            "client": {"type": "string"},
            "category": {"enum": list(CATEGORIES)},
            "zones": {"type": "array", "items": {"type": "string"}},
            "offence": number,
            "began": instant,
            "expires": instant,
            "left": number,
            "reasons": {
                "anyOf": [
                    {"type": "object", "additionalProperties": number},
                    {"type": "array", "items": {"type": "string"}},
                ]
            },
            "threshold": maybe(number),
            "window": maybe(number),
            "next": maybe(whole({"offence": number, "length": number, "until": maybe(instant)})),
        },
        optional=("reasons", "threshold", "window"),
    )
    return whole(
        {
            "client": {"type": "string"},
            "listed": {"type": "boolean"},
            "state": {"enum": [str(kind) for kind in Kind]},
            "listings": {"type": "array", "items": listing},
            "expires": maybe(instant),
            "left": maybe(number),
            "ended": maybe(
                whole(
                    {
                        **{"category": {"enum": list(CATEGORIES)}, "expires": instant},
                        "false_positive": {"type": "boolean"},
                    }
                )
            ),
            "serial": number,
            "at": instant,
            "live": {"type": "boolean"},
            "age": maybe(number),
        }
    )
