"""Which parser reads the lines of which program. A component is added by its own file and one row here."""

from __future__ import annotations

import re
from collections.abc import Callable

from repzone.logs import amavis, postfix_cleanup, postfix_postscreen, postfix_smtpd
from repzone.logs.fact import Fact
from repzone.logs.syslog import Header

Parse = Callable[[Header], Fact | None]

# Postfix: several instances (`postfix-mx1/smtpd`) and services (`postfix/submission/smtpd`, `postfix/25/smtpd`).
_POSTFIX = r"postfix[^/\[]*+(?:/[\w.-]++)*?/"

COMPONENTS: tuple[tuple[re.Pattern[str], Parse], ...] = (
    (re.compile(_POSTFIX + "smtpd"), postfix_smtpd.parse),
    (re.compile(_POSTFIX + "cleanup"), postfix_cleanup.parse),
    (re.compile(_POSTFIX + "postscreen"), postfix_postscreen.parse),
    (re.compile(r"(?:/usr/(?:local/)?s?bin/)?amavisd?(?:-new)?"), amavis.parse),
)


def find(program: str) -> Parse | None:
    """Give the parser for a program's lines, None when no component is meant."""
    for pattern, parse in COMPONENTS:
        if pattern.fullmatch(program):
            return parse
    return None
