"""What a stranger may have written in, HTML that shows all of it and obeys none of it out."""

import unicodedata

from markupsafe import Markup, escape

HIDDEN = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"))
"""Unicode's categories of what moves, turns or hides text: controls, formats, separators, and what is nothing."""

BLANK = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u2800\u3164\uffa0"
"""What cannot be seen although its category says otherwise."""


def is_hidden(one: str) -> bool:
    """Tell whether a character is shown by its number, not as itself."""
    return unicodedata.category(one) in HIDDEN or one in BLANK or "\ufe00" <= one <= "\ufe0f" or one >= "\U000e0000"


def visible(text: str, most: int = 4000) -> Markup:
    """Write text with every control, bidi and zero-width character as a visible U+XXXX; longer text is cut."""
    parts = [
        Markup('<span class="esc">{}</span>').format(f"U+{ord(one):04X}") if is_hidden(one) else escape(one)
        for one in text[:most]
    ]
    if len(text) > most:
        parts.append(Markup('<span class="esc">…</span>'))
    return Markup("").join(parts)


def one_line(text: str) -> str:
    """Give what somebody wrote as one line, without what cannot be seen."""
    return " ".join("".join(" " if one.isspace() else "" if is_hidden(one) else one for one in text).split())


def lines(text: str) -> str:
    """Write text of several lines with what cannot be seen spelled out."""
    return "\n".join(spelled(line, 65_536).replace("[U+0009]", "\t") for line in text.splitlines())


def spelled(text: str, most: int = 4000) -> str:
    """Write the same as plain text, for titles and attributes."""
    return "".join(f"[U+{ord(one):04X}]" if is_hidden(one) else one for one in text[:most])
