"""JSON and text of a row that are left encoded, because decoding them would hold up the event loop. Pure."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LargeJson:
    """A column of a claim as Postgres sent it; it travels beside a pickle, not in it (see `frames`)."""

    raw: bytes = field(repr=False)

    def __reduce_ex__(self, _protocol: Any) -> tuple[type[LargeJson], tuple[pickle.PickleBuffer]]:
        return LargeJson, (pickle.PickleBuffer(self.raw),)


@dataclass(frozen=True, slots=True)
class LargeText:
    """The same for `content`: UTF-8."""

    raw: bytes = field(repr=False)

    def __reduce_ex__(self, _protocol: Any) -> tuple[type[LargeText], tuple[pickle.PickleBuffer]]:
        return LargeText, (pickle.PickleBuffer(self.raw),)
