"""The address of a DNS server of ours and an apex in, how it stands out: serial, age of its data, whether it answers.

What `_status` of the zone tells; a server whose data is too old still answers it.
"""

from dataclasses import dataclass

from repzone.errors import UnavailableError
from repzone.serve.client import ask
from repzone.wire.answer import CLOCK_SKEW, STALE_AFTER


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands: the last serial, seconds since it saw the database (None: never), what is wrong, if so.

    `bad` says that listings are not answered, or soon will not be.
    """

    serial: int | None
    age: int | None
    fault: str = ""
    bad: bool = False


def look(server: tuple[str, int], apex: str, max_stale: int) -> Standing:
    """Ask a server how it stands; within the seconds that a question may take."""
    try:
        reply = ask(server, f"_status.{apex}", "TXT")
        fields = dict(word.split("=", 1) for word in "".join(reply.answers).split())
        serial, age = int(fields["serial"]), None if fields["age"] == "never" else int(fields["age"])
    except UnavailableError:
        return Standing(None, None, "nobody answers", bad=True)
    except (KeyError, ValueError):
        return Standing(None, None, f"it says {reply.rcode}, and is no server of this zone", bad=True)
    if age is None:
        return Standing(serial, age, "it knows nothing yet: listings are answered with SERVFAIL", bad=True)
    if age > max_stale:
        return Standing(serial, age, "its data is older than max_stale: SERVFAIL", bad=True)
    if age < -CLOCK_SKEW:
        return Standing(serial, age, "its data is from the future, a clock was wrong: SERVFAIL", bad=True)
    if fields.get("held") == "yes":
        return Standing(serial, age, "it holds a reload that would lose over half: `repzone zone accept`", bad=True)
    if age > STALE_AFTER:
        return Standing(serial, age, "it does not see the database", bad=True)
    return Standing(serial, age)
