"""Embeddings that mean nothing but are always the same for the same text. Pure."""

from __future__ import annotations

import base64
import hashlib
import math
import random
import struct
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """Texts to embed, the vectors' length, and whether they go as base64 of little-endian 32-bit floats."""

    texts: tuple[str, ...]
    dimensions: int
    as_base64: bool


def embed(model: str, wanted: Wanted, tokens: int) -> dict[str, Any]:
    """The vendor's answer."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _encoded(vector(text, wanted.dimensions), wanted),
        }
        for index, text in enumerate(wanted.texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector out of the text's hash."""
    chance = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    values = [chance.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def _encoded(values: list[float], wanted: Wanted) -> str | list[float]:
    if wanted.as_base64:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    return values
