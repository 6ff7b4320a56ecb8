"""Numbers that agree with their nouns: `1 job`, `2 jobs`. Pure; every message of both processes uses it.

No message writes `job(s)` or `1 jobs`. Numbers have a comma at each thousand, as people read them.
"""

from __future__ import annotations


def plural(count: int, singular: str, many: str | None = None) -> str:
    """The number with its noun, as `1 job`, `1,200 jobs` or `2 dead letters`.

    Args:
        count: how many.
        singular: the noun, or noun and verb (`worker serves`).
        many: the form for every count but 1; default `singular` with an s.
    """
    return f"{count:,} {plural_word(count, singular, many)}"


def plural_word(count: int, singular: str, many: str | None = None) -> str:
    """The noun alone, in the form that `count` needs."""
    if count == 1:
        return singular
    return f"{singular}s" if many is None else many
