"""Where one sign of a reader ends and the next begins (Unicode annex 29), from the standard library's tables.

Where those tables do not tell, signs are held together: a cut never parts what a reader takes for one.
"""

from __future__ import annotations

import unicodedata

_category = unicodedata.category

_MARKS = frozenset(["Mn", "Me", "Mc"])
_CONTROLS = frozenset(["Cc", "Zl", "Zp"])
_JOINER = "\u200d"
# What continues a sign without being a mark: (non-)joiners, Thai and Lao AM, halfwidth kana marks.
_CONTINUES = frozenset("\u200c\u200d\u0e33\u0eb3\uff9e\uff9f")
# Prefixes of numbers and consonants; they stand before their sign.
_PREPENDED = frozenset(
    map(
        chr,
        [
            *(
                *range(0x600, 0x606),
                0x6DD,
                0x70F,
                0x890,
                0x891,
                0x8E2,
                0xD4E,
                0x1CF5,
                0x1CF6,
                0x110BD,
                0x110CD,
                0x111C2,
                0x111C3,
            ),
            *(0x1193F, 0x11941, 0x11A3A, *range(0x11A84, 0x11A8A), 0x11D46, 0x11F02),
        ],
    )
)
_VIRAMA = 9


def is_break(text: str, at: int, start: int = 0) -> bool:
    """Whether text[:at] ends with a whole sign. `start` is a break before `at`: nothing before it is looked at."""
    if not start < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if before < "\u0300" and after < "\u0300":
        return before != "\r" or after != "\n"
    if _category(before) in _CONTROLS or _category(after) in _CONTROLS:
        return True
    if _continues(after) or before == _JOINER or before in _PREPENDED or _is_jamo_tail(before, after):
        return False
    if _is_flag(after):
        return _flags_before(text, at, start) % 2 == 0
    return not _is_conjunct(text, at, start)


def last_break(text: str, start: int, at: int) -> int:
    """The last break in text[start:at+1], `start` if there is none behind it."""
    while at > start and not is_break(text, at, start):
        at -= 1
    return max(at, start)


def next_break(text: str, start: int) -> int:
    """The end of the sign that begins at `start`."""
    at = start + 1
    while at < len(text) and not is_break(text, at, start):
        at += 1
    return at


def _continues(sign: str) -> bool:
    return (
        _category(sign) in _MARKS
        or sign in _CONTINUES
        or "\U0001f3fb" <= sign <= "\U0001f3ff"  # tones of skin
        or "\U000e0020" <= sign <= "\U000e007f"  # tags
    )


def _is_flag(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _flags_before(text: str, at: int, start: int) -> int:
    first = at
    while first > start and _is_flag(text[first - 1]):
        first -= 1
    return at - first


def _is_jamo_tail(before: str, after: str) -> bool:
    """Hangul: leading, vowel and trailing letters make one syllable."""
    if "\u1160" <= after <= "\u11ff" or "\ud7b0" <= after <= "\ud7ff":
        return _is_lead(before) or "\u1160" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7ff"
    return _is_lead(before) and (_is_lead(after) or "\uac00" <= after <= "\ud7a3")


def _is_lead(sign: str) -> bool:
    return "\u1100" <= sign <= "\u115f" or "\ua960" <= sign <= "\ua97c"


def _is_conjunct(text: str, at: int, start: int) -> bool:
    """Indic: consonant, virama, consonant are one sign, whatever marks stand between."""
    if _category(text[at]) != "Lo":
        return False
    back = at - 1
    while back >= start and _continues(text[back]):
        if unicodedata.combining(text[back]) == _VIRAMA:
            return True
        back -= 1
    return False
