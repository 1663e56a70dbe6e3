"""Postfix's own configuration in, the networks that it trusts out, as far as they may be the operator's own.

postconf(1), postconf(5) mynetworks. Loopback and private space are left out: they never are listed anyway.
"""

import shutil
import subprocess
from dataclasses import dataclass

from repzone.cli.networks import parse_word
from repzone.model import RESERVED, V4, V6, Client

WIDEST = {V4: 16, V6: 32}
"""Networks with a shorter prefix, in bits, are nobody's own without a second look."""

SECONDS = 10


@dataclass(frozen=True, slots=True)
class Trusted:
    """What Postfix lets relay: networks that the operator named in main.cf, others that are only worth a look (wide
    ones, and what Postfix made of the machine's interfaces), and words that are no network, such as tables.
    """

    own: tuple[Client, ...] = ()
    doubtful: tuple[Client, ...] = ()
    others: tuple[str, ...] = ()


def load_trusted() -> Trusted | None:
    """Ask Postfix whom it trusts; None when it is not here, or does not say."""
    program = shutil.which("postconf") or shutil.which("postconf", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    try:
        named = _ask(program, "-xn", "mynetworks").partition("=")[2].strip()
        return parse(named or _ask(program, "-xh", "mynetworks"), named=bool(named))
    except (OSError, subprocess.SubprocessError):
        return None


def parse(text: str, *, named: bool) -> Trusted:
    """Sort the words of mynetworks; `named` says that they stand in main.cf."""
    own: dict[Client, None] = {}
    doubtful: dict[Client, None] = {}
    others: list[str] = []
    for word in text.replace(",", " ").split():
        try:
            network = parse_word(word)
        except ValueError:
            others.append(word)
            continue
        if any(reserved.covers(network) for reserved in RESERVED):
            continue
        sure = named and network.length >= WIDEST[network.version]
        (own if sure else doubtful)[network] = None
    return Trusted(tuple(own), tuple(doubtful), tuple(others))


def _ask(program: str, *words: str) -> str:
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout.strip()
