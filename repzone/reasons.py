"""The catalogue of offences: every reason that an event can have, and the category that it is punished in.

A reason is the kind of offence; a category is the family with its own threshold, window and ladder.
"""

from typing import Literal, get_args

Category = Literal["errors", "spam", "virus", "auth", "manual"]

CATEGORIES: tuple[Category, ...] = get_args(Category)
COUNTED: tuple[Category, ...] = ("errors", "spam", "virus", "auth")
"""The categories that events are punished in; `manual` is set by an operator."""

_BY_CATEGORY: dict[Category, str] = {
    "errors": """
        unknown_command command_rejected bad_address_syntax data_rejected non_smtp_command vrfy_expn
        improper_pipelining pregreet bare_newline protocol_error command_limit
        too_many_errors rate_limit connection_limit
        dropped_connection timeout tls_failed no_mail_transaction no_auth_attempt
        helo_not_fqdn helo_not_found helo_rejected rdns_missing rdns_mismatch
        sender_domain_not_found sender_not_fqdn sender_rejected sender_verify_failed spf_fail dmarc_fail
        unknown_recipient recipient_rejected recipient_domain_not_found relay_denied
        greylisted greylist_early_retry greylist_never_retried
        client_denied dropped_by_acl""",
    "spam": """
        spam_rejected spam_detected spam_tagged content_rejected milter_rejected
        spamtrap abuse_report dnsbl_listed""",
    "virus": "virus_found banned_attachment",
    "auth": """
        auth_failed auth_unknown_user auth_not_offered auth_mechanism_invalid
        auth_plaintext_disallowed auth_policy_refused""",
}

CATALOGUE: dict[str, Category] = {
    reason: category for category, names in _BY_CATEGORY.items() for reason in names.split()
}
"""Reason name to category."""
