"""Which parser reads the lines of which program. A component is added by its own file and one row here."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module

from repzone.logs.fact import Fact
from repzone.logs.syslog import Header

Parse = Callable[[Header], Fact | None]

# Postfix: several instances (`postfix-mx1/smtpd`), services (`postfix/submission/smtpd`, `postfix/25/smtpd`), and names
# that `syslog_name` is often given without `postfix` (`haproxy/postscreen` of mailcow).
_POSTFIX = r"(?:postfix[^/\[]*+|haproxy|smtps?|submissions?)(?:/[\w.-]++)*?/"

# A parser is loaded when its first line comes: the patterns of all take longer than a short log.
COMPONENTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(_POSTFIX + "smtpd"), "postfix_smtpd:parse"),
    (re.compile(_POSTFIX + "cleanup"), "postfix_cleanup:parse"),
    (re.compile(_POSTFIX + "postscreen"), "postfix_postscreen:parse"),
    (re.compile(_POSTFIX + "qmgr"), "postfix_queue:parse"),
    (re.compile(_POSTFIX + "pickup"), "postfix_queue:parse_pickup"),
    (re.compile(_POSTFIX + "(?:smtp|lmtp|local|virtual|pipe|error|discard)"), "postfix_queue:parse_delivery"),
    (re.compile(r"(?:/usr/(?:local/)?s?bin/)?amavisd?(?:-new)?"), "amavis:parse"),
    (re.compile(r"clamav-milter"), "clamav:parse"),
    (re.compile(r"clamsmtpd"), "clamav:parse_proxy"),
    (re.compile(r"haraka|node"), "haraka:parse"),
    (re.compile(r"MailScanner|mailscanner|MSMilter"), "mailscanner:parse"),
    (re.compile(r"milter-greylist"), "milter_greylist:parse"),
    (re.compile(r"opendmarc"), "opendmarc:parse"),
    (re.compile(r"(?:postfix/)?policyd-spf|pyspf-milter"), "policyd_spf:parse"),
    (re.compile(r"(?:postfix/)?postgrey"), "postgrey:parse"),
    (re.compile(r"rspamd(?>(?:[_-]\w++)?)"), "rspamd:parse"),
    (
        re.compile(r"(?:/usr/(?:local/)?(?:s?bin|lib|libexec)/)?(?:sendmail(?:[-.][\w.-]++)?|sm-[\w.-]++)"),
        "sendmail:parse",
    ),
    (re.compile(r"spamd"), "spamassassin:parse"),
    (re.compile(r"sqlgrey"), "sqlgrey:parse"),
    (re.compile(r"courieresmtpd|esmtpd(?:-ssl|-msa)?"), "courier:parse_esmtp"),
    (re.compile(r"(?:courier-?)?(?:imap|pop3)(?:d-ssl|login)|courier-?(?:imapd?|pop3d?)|sqwebmaild"), "courier:parse"),
    (
        # `syslog_prefix` of imapd.conf(5), and Debian's names of services
        re.compile(
            r"cyrus/[\w-]++|(?>(?:[\w.-]++/)?)(?:imaps?|pop3s?|nntps?|nntpd|https?|httpd|sieve|timsieved"
            r"|lmtp(?>(?:d|unix)?))"
        ),
        "cyrus:parse",
    ),
    (re.compile(r"(?:/usr/(?:local/)?s?bin/)?exim\d?(?>(?:[-_]\w++)?)"), "exim:parse"),
    (re.compile(r"dovecot(?:-auth)?|auth(?:-worker)?|(?:imap|pop3|managesieve|submission)-login"), "dovecot:parse"),
    (re.compile(r"imapd|pop3d"), "imapd:parse"),
    (re.compile(r"nginx"), "nginx:parse"),
    (re.compile(r"(?:open)?smtpd"), "opensmtpd:parse"),
    (re.compile(r"ipop[23]d"), "uwimap:parse"),
    (re.compile(r"vpopmail|vchkpw"), "vpopmail:parse"),
)


# What several components call their programs: the parser of each in its turn.
_SHARED = {"imapd:parse": ("courier:parse", "cyrus:parse", "uwimap:parse")}


def component(place: str) -> str:
    """Give the name of the component that a parser is for: that of its file, `postfix` for all of Postfix'."""
    name = place.partition(":")[0]
    return "postfix" if name.startswith("postfix_") else name.replace("_", "-")


NAMES = tuple(sorted({component(place) for _, place in COMPONENTS if place not in _SHARED}))
"""The components that lines can be restricted to."""


def find(program: str, only: str = "") -> Parse | None:
    """Give the parser for a program's lines, None when no component is meant, or not the one that is named."""
    for pattern, place in COMPONENTS:
        if pattern.fullmatch(program):
            for one in _SHARED.get(place, (place,)) if only else (place,):
                if only in ("", component(one)):
                    return _load(one)
    return None


@cache
def _load(place: str) -> Parse:
    module, _, name = place.partition(":")
    parse: Parse = getattr(import_module(f"repzone.logs.{module}"), name)
    return parse
