"""A listing in, how programs and people see it out."""

from repzone.cli.output import plain, utc
from repzone.model import Listing


def listing_fields(listing: Listing, now: int) -> dict[str, object]:
    """Give a listing as programs see it."""
    return {
        "client": str(listing.client),
        "category": listing.category,
        "offence": listing.offence,
        "began": utc(listing.began),
        "expires": utc(listing.expires),
        "state": listing.state_at(now),
        "reasons": dict(listing.reasons),
    }


def reasons_text(listing: Listing) -> str:
    """Write what was counted, the most frequent reason first; the operator's words for a manual listing."""
    counts = sorted(listing.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in counts) or plain(listing.comment)
