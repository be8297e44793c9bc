"""Text of strangers on a terminal: names, paths and messages show what they hold and do nothing."""

import unicodedata

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories for what moves the cursor, changes the direction or cannot be encoded."""


def plain(text: str) -> str:
    """Return *text* with every control character written out, as ``\\x1b``."""
    return "".join(
        character.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(character) in _HARMFUL
        else character
        for character in text
    )
