"""What a merge writes down beside its result: where each part came from, and what could not be kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from llmreq.limits import MAX_MERGE_CONFLICTS, MERGE_CONFLICT_CHARS
from llmreq.merge.pages import PageResult

_ENCODER = json.JSONEncoder(ensure_ascii=False)


class Journal:
    """Pages are named by their index in `pages`; paths are JSON pointers into the merged value."""

    __slots__ = ("_conflicts", "_more", "_pages", "_places", "provenance")

    def __init__(self, pages: Sequence[PageResult]) -> None:
        self._pages = pages
        self._places = [each.place for each in pages]
        self.provenance: dict[str, list[dict[str, int]]] = {}
        self._conflicts: list[dict[str, Any]] = []
        self._more = 0

    def came_from(self, path: str, sources: Iterable[int]) -> None:
        """The pages that hold what stands at a path, each once, in order."""
        self.provenance[path] = [self._places[source] for source in sorted(set(sources))]

    def not_kept(self, path: str, kept: Any, other: Any, source: int, rule: str) -> None:
        """`other`, from that page, gave way to `kept`. Long values are cut: the page's own row has them whole."""
        if len(self._conflicts) == MAX_MERGE_CONFLICTS:
            self._more += 1
            return
        page = self._pages[source].page
        self._conflicts.append(
            {"path": path, "kept": _shown(kept), "other": _shown(other), "page": page, "rule": rule}
        )

    @property
    def conflicts(self) -> list[dict[str, Any]]:
        """At most `MAX_MERGE_CONFLICTS`, then `{"more": n}` when there were n others."""
        return [*self._conflicts, {"more": self._more}] if self._more else list(self._conflicts)


def _shown(value: Any) -> Any:
    """The value, or the beginning of its JSON; nothing past that is written out, for it may be megabytes."""
    if value is None or isinstance(value, bool | float):
        return value
    parts: list[str] = []
    chars = 0
    for part in (value,) if isinstance(value, str) else _ENCODER.iterencode(value):
        parts.append(part)
        chars += len(part)
        if chars > MERGE_CONFLICT_CHARS:
            return "".join(parts)[:MERGE_CONFLICT_CHARS] + "…"
    return value
