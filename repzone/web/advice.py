"""Reasons in, what they are called and what to do about them out, as messages of `messages`.

Every reason of the catalogue has a name here; advice stands by what its sender can do, and several reasons share one.
"""

from collections.abc import Iterable
from types import MappingProxyType

from repzone.reasons import Category
from repzone.web.messages import marked as N_

NAMES = MappingProxyType(
    {
        "unknown_command": N_("Unknown SMTP command"),
        "command_rejected": N_("SMTP command refused"),
        "bad_address_syntax": N_("Address of an impossible form"),
        "data_rejected": N_("Message refused while it was sent"),
        "non_smtp_command": N_("Command of another protocol than SMTP"),
        "vrfy_expn": N_("Addresses asked for by VRFY or EXPN"),
        "improper_pipelining": N_("Commands sent before they were allowed"),
        "pregreet": N_("Talked before our server greeted"),
        "bare_newline": N_("Line ended by a bare newline"),
        "protocol_error": N_("SMTP protocol broken"),
        "command_limit": N_("Too many commands in one connection"),
        "too_many_errors": N_("Too many errors in one connection"),
        "rate_limit": N_("Too many messages or recipients in a short time"),
        "connection_limit": N_("Too many connections at a time"),
        "dropped_connection": N_("Connection dropped before a message was sent"),
        "timeout": N_("Connection left waiting"),
        "tls_failed": N_("TLS handshake failed"),
        "no_mail_transaction": N_("Connection without a message"),
        "no_auth_attempt": N_("Connection without a login"),
        "helo_not_fqdn": N_("EHLO name that is no full host name"),
        "helo_not_found": N_("EHLO name that is not in the DNS"),
        "helo_rejected": N_("EHLO missing or forged"),
        "rdns_missing": N_("Address without a host name in the DNS"),
        "rdns_mismatch": N_("Host name that does not lead back to the address"),
        "sender_domain_not_found": N_("Sender domain without MX or address"),
        "sender_not_fqdn": N_("Sender address without a full domain"),
        "sender_rejected": N_("Sender address refused"),
        "sender_verify_failed": N_("Sender address that does not exist"),
        "spf_fail": N_("Sender domain does not allow this server (SPF)"),
        "dmarc_fail": N_("Sender domain does not vouch for the message (DMARC)"),
        "unknown_recipient": N_("Unknown recipient"),
        "recipient_rejected": N_("Recipient refused"),
        "recipient_domain_not_found": N_("Recipient domain that does not exist"),
        "relay_denied": N_("Recipient that is not ours (relaying)"),
        "greylisted": N_("Message asked to come again later (greylisting)"),
        "greylist_early_retry": N_("Message that came again too early (greylisting)"),
        "greylist_never_retried": N_("Message that never came again (greylisting)"),
        "client_denied": N_("Server that is not admitted"),
        "dropped_by_acl": N_("Connection ended by a rule of ours"),
        "spam_rejected": N_("Message refused as spam"),
        "spam_detected": N_("Message found to be spam"),
        "spam_tagged": N_("Message marked as possible spam"),
        "content_rejected": N_("Message refused for its content"),
        "milter_rejected": N_("Message refused by a filter"),
        "spamtrap": N_("Message found to be spam"),  # nobody shall learn which addresses are traps
        "abuse_report": N_("Abuse report"),
        "dnsbl_listed": N_("Listed by another block list"),
        "virus_found": N_("Message with a virus"),
        "banned_attachment": N_("Attachment that is not admitted"),
        "auth_failed": N_("Failed login"),
        "auth_unknown_user": N_("Login with an unknown name"),
        "auth_not_offered": N_("Login where none is offered"),
        "auth_mechanism_invalid": N_("Login in a way that is not offered"),
        "auth_plaintext_disallowed": N_("Password sent without encryption"),
        "auth_policy_refused": N_("Login refused by a rule of ours"),
    }
)
"""Reason to its name for a sender; some share one on purpose."""

PROTOCOL = N_(
    "Check that what connects is your mail server and nothing else: a script, a scanner or an infected computer behind "
    "the same address speaks SMTP badly. Let only your mail server use port 25."
)
EHLO = N_(
    "Let your server greet with its own full host name (EHLO mail.example.com), give that name an address in the DNS, "
    "and let the address lead back to the name."
)
SENDER = N_(
    "Send only with sender addresses that exist, of domains that have an MX record; allow your server in their SPF "
    "record, and sign their mail with DKIM."
)
RECIPIENT = N_(
    "Remove addresses that are refused as unknown from your lists, and do not try addresses out. If you use “sender "
    "verify” (callouts to our servers), switch it off."
)
BOUNCES = N_(
    "Refuse unwanted mail while it arrives, rather than answering it: notices of failure and automatic answers to spam "
    "go to forged senders."
)
RELAY = N_("Check that your server is no open relay, and that our servers are asked only for recipients of ours.")
GREYLIST = N_(
    "A message that is asked to come again later (reply 450 or 451) must be sent again by the same server after some "
    "minutes. Let your server keep such messages in its queue."
)
RATE = N_("Send more slowly: fewer connections at a time, and fewer messages in each minute.")
DROPPED = N_(
    "Connections that end before a message was sent look like a search for addresses. Check the network, the time-outs "
    "and the TLS settings of your server."
)
SPAM = N_(
    "Look in your outgoing queue for one account or web form that sends much more than usual; change its password and "
    "mend the form."
)
FORWARD = N_("Do not forward mail to us before your own spam and virus filter has seen it.")
VIRUS = N_("Find the computer or account that sent the message, and clean it before it sends again.")
LOGIN = N_(
    "Check the password that is stored in every mail program, phone and printer on your network: one with an old "
    "password keeps trying."
)
FOREIGN_LOGIN = N_("If you have no mailbox here, something on your network guesses passwords: find it and stop it.")

_BY_ADVICE = {
    PROTOCOL: """unknown_command command_rejected bad_address_syntax data_rejected non_smtp_command vrfy_expn
        improper_pipelining pregreet bare_newline protocol_error command_limit too_many_errors client_denied
        dropped_by_acl""",
    EHLO: "helo_not_fqdn helo_not_found helo_rejected rdns_missing rdns_mismatch",
    SENDER: "sender_domain_not_found sender_not_fqdn sender_rejected sender_verify_failed spf_fail dmarc_fail",
    RECIPIENT: "unknown_recipient recipient_rejected recipient_domain_not_found vrfy_expn too_many_errors",
    BOUNCES: "unknown_recipient sender_verify_failed",
    RELAY: "relay_denied",
    GREYLIST: "greylisted greylist_early_retry greylist_never_retried",
    RATE: "rate_limit connection_limit command_limit",
    DROPPED: "dropped_connection timeout tls_failed no_mail_transaction no_auth_attempt",
    SPAM: """spam_rejected spam_detected spam_tagged content_rejected milter_rejected spamtrap abuse_report
        dnsbl_listed""",
    FORWARD: """spam_rejected spam_detected spam_tagged content_rejected milter_rejected spamtrap virus_found
        banned_attachment""",
    VIRUS: "virus_found banned_attachment",
    LOGIN: """auth_failed auth_unknown_user auth_mechanism_invalid auth_plaintext_disallowed auth_policy_refused
        auth_not_offered""",
    FOREIGN_LOGIN: "auth_failed auth_unknown_user auth_not_offered auth_policy_refused",
}
ADVICE = MappingProxyType({text: frozenset(reasons.split()) for text, reasons in _BY_ADVICE.items()})
"""What to do, and the reasons that it is for."""

BLOCKED_FOR = MappingProxyType[Category, str](
    {
        "errors": N_("for too many errors"),
        "spam": N_("for sending spam"),
        "virus": N_("for sending viruses"),
        "auth": N_("for too many failed logins"),
        "manual": N_("by the operator"),
    }
)

CATEGORY_NAMES = MappingProxyType[Category, str](
    {
        "errors": N_("Errors"),
        "spam": N_("Spam"),
        "virus": N_("Viruses"),
        "auth": N_("Failed logins"),
        "manual": N_("By hand"),
    }
)

EXPLANATIONS = MappingProxyType[Category, str](
    {
        "errors": N_(
            "Your server made too many errors when it talked to ours: commands that are wrong, recipients that do not "
            "exist, connections that end before a message was sent. It may look like a search for addresses. It is "
            "refused for some time."
        ),
        "spam": N_(
            "Your server sent too much spam to mailboxes of ours. Our servers do not accept connections from it for "
            "some time."
        ),
        "virus": N_(
            "Your server sent a virus to a mailbox of ours. Our servers do not accept connections from it for some "
            "time."
        ),
        "auth": N_(
            "Somebody behind your address tried to log in with wrong passwords too often. This protects the mailboxes "
            "of our users; the address is refused for some time."
        ),
    }
)
"""What the error message of a category means."""

OWNERS = MappingProxyType[Category, str](
    {
        "errors": N_(
            "Wait for the end and check its configuration meanwhile: is it an open relay, does it verify senders by "
            "asking us, does it answer spam with notices of failure?"
        ),
        "spam": N_("Filter what you send, relay and forward, so that no spam reaches us through you."),
        "virus": N_("Filter what you send, relay and forward, so that no virus reaches us through you."),
        "auth": N_("Check the logins of all mailboxes that are used behind your internet connection."),
    }
)
"""What who runs the server does about it."""

GENERAL = MappingProxyType[Category, tuple[str, ...]](
    {
        "errors": (PROTOCOL, DROPPED),
        "spam": (SPAM, FORWARD),
        "virus": (VIRUS, FORWARD),
        "auth": (LOGIN,),
        "manual": (),
    }
)
"""What to do where the reasons are not told."""


def advise(reasons: Iterable[str]) -> list[str]:
    """Give what to do about exactly these reasons, without repeating anything."""
    present = set(reasons)
    return [text for text, about in ADVICE.items() if about & present]
