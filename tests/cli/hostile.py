"""Words that try to move the cursor, to hide, or to be our own markup; and whether an output obeys them."""

from __future__ import annotations

import unicodedata

WORDS = "\x1b[2J\x1b]0;owned\x07 [bold red]evil[/] :smile: \x9b31m \u202eback \r\n[link=x]"


def is_harmless(output: str) -> bool:
    """Tell whether an output is whole lines of characters that can be seen, with the words as they were written."""
    visible = all(one == "\n" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in output)
    return visible and "[bold red]evil[/] :smile:" in output and "[link=x]" in output
