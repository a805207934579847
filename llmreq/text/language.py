"""Which language a text is in: by script, then by its small words. `und` when neither tells."""

from __future__ import annotations

import re
from collections import Counter

_SMALL_WORDS = {
    "en": "the and of to in is was that it for with as his her on at by be this had not are but from they which you were she he",
    "de": "der die das und ist nicht ein eine zu den mit von auf dem für sich im es auch als wie bei wir sind war noch nach aus",
    "fr": "le la les des et est une que dans pour qui pas sur avec ce il elle du au nous vous sont par plus mais était leur",
    "es": "el la los las y es una que en por con para no se del su lo como más pero fue este son al ha muy entre",
    "it": "il la di che è un una per non con del della sono nel gli le si da come anche più ma alla era questo dei",
    "pt": "o a os as e é um uma que em para com não se do da no na por mais como mas foi ao dos das seu sua",
    "nl": "de het een en van is dat niet op te voor met zijn aan er ook als maar om bij naar uit nog was worden",
    "pl": "i w na z do się nie to jest że jak od po przez ale o za co ten który są był dla tego czy",
    "tr": "ve bir bu için ile de da çok daha olarak olan gibi ama kadar ne var değil sonra her en ya mi",
}
_PROFILES = {code: frozenset(words.split()) for code, words in _SMALL_WORDS.items()}
_LETTERS = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]"), 0.05),
    ("ko", re.compile(r"[\uac00-\ud7af]"), 0.2),
    ("zh", re.compile(r"[\u4e00-\u9fff]"), 0.2),
    ("ru", re.compile(r"[\u0400-\u04ff]"), 0.4),
    ("ar", re.compile(r"[\u0600-\u06ff]"), 0.4),
    ("hi", re.compile(r"[\u0900-\u097f]"), 0.4),
    ("el", re.compile(r"[\u0370-\u03ff]"), 0.4),
)
_LEAST_WORDS = 4


def detect_language(text: str) -> tuple[str, float]:
    """(ISO 639-1 code or `und`, confidence from 0 to 1)."""
    letters = sum(len(word) for word in _LETTERS.findall(text))
    if letters == 0:
        return "und", 0.0
    for code, script, share in _SCRIPTS:
        found = len(script.findall(text)) / letters
        if found >= share:
            return code, round(min(1.0, 0.5 + found / 2), 2)
    words = [word.lower() for word in _LETTERS.findall(text)]
    hits = Counter({code: sum(word in profile for word in words) for code, profile in _PROFILES.items()})
    (best, count), (_, second) = hits.most_common(2)
    if count == 0 or len(words) < _LEAST_WORDS or count == second:
        return "und", 0.0
    return best, round(min(1.0, (count - second) / max(1, count) * 0.5 + min(0.5, count / len(words))), 2)
