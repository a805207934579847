"""Names, dates, money and addresses by rules: precision before recall, nothing guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember)"
)
_NAME = r"[A-Z][a-zà-öø-ÿ]+(?:[-'][A-Z][a-zà-öø-ÿ]+)?"
_COMPANY = (
    "Inc|Ltd|LLC|GmbH|AG|Corporation|Company|Trust|Society|Council|Bank|Institute|Association|Foundation"
)
_UNIT = "km|cm|mm|m|kg|tonnes?|tons?|litres?|metres?|hours?|minutes?|days?|weeks?|years?"
_CURRENCY = r"(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?)"
_PATTERNS = [
    ("email", re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")),
    ("url", re.compile(r"\bhttps?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]")),
    ("date", re.compile(rf"\b\d{{1,2}}\.? {_MONTH}(?: \d{{4}})?\b")),
    (
        "date",
        re.compile(rf"\b{_MONTH} \d{{1,2}}(?:, \d{{4}})?\b|\b{_MONTH} \d{{4}}\b|\b\d{{4}}-\d{{2}}-\d{{2}}\b"),
    ),
    ("date", re.compile(r"\d{4}年(?:\d{1,2}月(?:\d{1,2}日)?)?|\d{1,2}月\d{1,2}日")),
    ("money", re.compile(rf"[$€£¥] ?\d[\d,.]*\d|[$€£¥] ?\d|\b\d[\d,.]* ?{_CURRENCY}\b", re.IGNORECASE)),
    ("money", re.compile(rf"\b\d[\d,.]* million(?: {_CURRENCY})?\b", re.IGNORECASE)),
    ("percent", re.compile(r"\b\d+(?:[.,]\d+)? ?(?:%|percent\b|per cent\b)")),
    ("phone", re.compile(r"(?<!\w)\+\d{1,3}[ -]?\(?\d{1,4}\)?(?:[ -]?\d{2,4}){2,4}\b")),
    ("quantity", re.compile(rf"\b\d+(?:[.,]\d+)? ?(?:{_UNIT})\b")),
    ("organisation", re.compile(rf"\b(?:{_NAME} (?:(?:and|&|of|für|der) )?){{0,4}}{_NAME} (?:{_COMPANY})\b")),
    (
        "organisation",
        re.compile(rf"\b(?:University|Institute|Ministry|Bank|Museum) of (?:the )?{_NAME}(?: {_NAME})?\b"),
    ),
    (
        "person",
        re.compile(
            rf"\b(?:Mr|Mrs|Ms|Dr|Prof|Captain|Professor|Sir|Dame|Herr|Frau)\.? {_NAME}(?: {_NAME})?\b"
        ),
    ),
]
_FIRST_NAMES_TEXT = (
    "Anna Anton Carla Clara Daniel David Elena Emma Erik Eva Felix Hanna Hannah Henrik Ida Ines "
    "Ingrid Iris Jack James Jan Jana John Jonas Karl Katharina Laura Lena Leon Lucas Lucy Maja "
    "Marcus Maria Marie Mark Marta Martha Martin Mary Max Maya Michael Mina Nadia Nils Nina Nora "
    "Oskar Owen Paul Paula Peter Robert Rosa Ruth Samuel Sara Sarah Simon Sofia Sophie Thomas Tom "
    "Tomas Vera Viktor William Yusuf Amina Mei Wei"
)
_FIRST_NAMES = frozenset(_FIRST_NAMES_TEXT.split())
_PERSON = re.compile(rf"\b({_NAME}) {_NAME}(?:-{_NAME})?\b")


@dataclass(frozen=True, slots=True)
class Entity:
    """text[start:end] and what it is."""

    text: str
    type: str
    start: int
    end: int


def entities(text: str) -> list[Entity]:
    """What the rules are sure of, in order, without overlaps: an earlier rule wins."""
    taken: list[Entity] = []
    covered = bytearray(len(text))
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            _take(taken, covered, kind, match.start(), match.end(), text)
    for match in _PERSON.finditer(text):
        if match.group(1) in _FIRST_NAMES:
            _take(taken, covered, "person", match.start(), match.end(), text)
    return sorted(taken, key=lambda entity: entity.start)


def _take(taken: list[Entity], covered: bytearray, kind: str, start: int, end: int, text: str) -> None:
    if not any(covered[start:end]):
        covered[start:end] = b"\1" * (end - start)
        taken.append(Entity(text[start:end], kind, start, end))
