"""Text in plain letters, for search and for keys."""

from __future__ import annotations

import unicodedata

# Letters that are no letter with an accent, so that Unicode does not take them apart.
_WHOLE = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})


def plain(text: str) -> str:
    """Lower case without accents, in ASCII alone: ``Rußwurm`` becomes ``russwurm``, ``Michał`` becomes ``michal``."""
    letters = unicodedata.normalize("NFKD", text.casefold().translate(_WHOLE))
    # What is left beyond ASCII is no letter: a dash parts two words, so it must not join them.
    return "".join(letter if letter.isascii() else " " for letter in letters if not unicodedata.combining(letter))
