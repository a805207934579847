"""The deep merge: what several pages say of one place of a value, made one. The rules are told in `merge.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from llmreq.check.references import escape
from llmreq.limits import MAX_MERGE_DEPTH
from llmreq.merge.hints import Place
from llmreq.merge.identity import identity, key_of
from llmreq.merge.journal import Journal
from llmreq.merge.numbers import is_number, total


class Said(NamedTuple):
    """A value and the index of the page it is from."""

    value: Any
    source: int


class Join:
    """Makes one value out of many; provenance and conflicts go to the journal."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def of(self, place: Place, said: Sequence[Said], path: str = "", levels: int = MAX_MERGE_DEPTH) -> Any:
        """The value of a place, from what the pages say of it in page order; `levels` may still be gone down."""
        known = [each for each in said if each.value is not None]
        if not known:
            return self._chosen(path, None, said)
        match place.rule:
            case "first":
                return self._chosen(path, known[0].value, known[:1])
            case "last":
                return self._chosen(path, known[-1].value, known[-1:])
            case "union":
                return self._list(place, path, _spread(known), levels)
            case "append":
                return self._appended(path, known)
            case "sum" | "max" | "min":
                return self._calculated(place, path, known, levels)
            case _:
                return self._by_kind(place, path, known, levels)

    def _calculated(self, place: Place, path: str, known: Sequence[Said], levels: int) -> Any:
        rule = place.rule or ""
        kinds = [is_number] if rule == "sum" else [is_number, _string, _boolean]
        fits = next((fits for fits in kinds if any(fits(each.value) for each in known)), None)
        if fits is None:
            return self._by_kind(place, path, known, levels)
        usable, others = _parted(known, fits)
        values = [each.value for each in usable]
        result = total(values) if rule == "sum" else max(values) if rule == "max" else min(values)
        holders = usable if rule == "sum" else [each for each in usable if each.value == result]
        self._give_way(path, result, others, rule)
        return self._chosen(path, result, holders)

    def _by_kind(self, place: Place, path: str, known: Sequence[Said], levels: int) -> Any:
        """Without a rule: objects by property, lists joined, of anything else the first."""
        first = known[0].value
        result: Any
        if isinstance(first, dict) and levels:
            alike, others = _parted(known, _object)
            result = self._object(place, path, alike, levels)
        elif isinstance(first, list) and levels and not place.one_value:
            alike, others = _parted(known, _array)
            result = self._list(place, path, _spread(alike), levels)
        else:
            same = identity(first)
            alike, others = _parted(known, lambda value: identity(value) == same)
            result = self._chosen(path, first, alike)
            shape = _shape(first)
            unlike, others = _parted(others, lambda value: _shape(value) is not shape)
            self._give_way(path, first, others, "first")
            others = unlike
        self._give_way(path, result, others, "type")
        return result

    def _object(self, place: Place, path: str, said: Sequence[Said], levels: int) -> dict[str, Any]:
        by_name: dict[str, list[Said]] = {}
        for each in said:
            for name, value in each.value.items():
                by_name.setdefault(name, []).append(Said(value, each.source))
        return {
            name: self.of(place.property(name), values, f"{path}/{escape(name)}", levels - 1)
            for name, values in by_name.items()
        }

    def _list(self, place: Place, path: str, items: Iterable[Said], levels: int) -> list[Any]:
        groups: dict[tuple[bool, str], list[Said]] = {}
        for item in items:
            key = key_of(item.value, place.key) if place.key else None
            name = (False, identity(item.value)) if key is None else (True, key)
            groups.setdefault(name, []).append(item)
        joined = []
        for index, ((by_key, _), group) in enumerate(groups.items()):
            here = f"{path}/{index}"
            item = self._chosen(here, group[0].value, group)
            if by_key and len(group) > 1:
                item = self.of(place.items(), group, here, levels - 1)
            joined.append(item)
        return joined

    def _appended(self, path: str, known: Sequence[Said]) -> list[Any]:
        """Every item of every page, also those that are equal: what is said twice was there twice."""
        lists, others = _parted(known, _array)
        joined = [self._chosen(f"{path}/{n}", each.value, [each]) for n, each in enumerate(_spread(lists))]
        self._give_way(path, joined, others, "append")
        return joined

    def _chosen(self, path: str, value: Any, holders: Iterable[Said]) -> Any:
        self._journal.came_from(path, (each.source for each in holders))
        return value

    def _give_way(self, path: str, kept: Any, others: Iterable[Said], rule: str) -> None:
        """Each different value once, with the first page that has it."""
        distinct: dict[str, Said] = {}
        for each in others:
            distinct.setdefault(identity(each.value), each)
        for each in distinct.values():
            self._journal.not_kept(path, kept, each.value, each.source, rule)


def _spread(said: Iterable[Said]) -> Iterator[Said]:
    """The items of lists, and what is no list as an item of its own."""
    for value, source in said:
        if isinstance(value, list):
            for item in value:
                yield Said(item, source)
        else:
            yield Said(value, source)


def _parted(said: Iterable[Said], fits: Callable[[Any], bool]) -> tuple[list[Said], list[Said]]:
    parts: tuple[list[Said], list[Said]] = ([], [])
    for each in said:
        parts[not fits(each.value)].append(each)
    return parts


def _shape(value: Any) -> type:
    return float if is_number(value) else type(value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _array(value: Any) -> bool:
    return isinstance(value, list)


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)
