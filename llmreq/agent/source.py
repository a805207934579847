"""An agent's file as an object: JSON when it begins with `{`, YAML else.

YAML is read as JSON with less to type, from the parser's events: scalars by the rules of YAML 1.2's core schema (`yes`, `no`,
`on` and dates stay text, keys are always text), and nothing that builds more than is written: no anchors, no tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from llmreq.check.decode import decode
from llmreq.limits import LONGEST_YAML_NUMBER, MAX_AGENT_BYTES, MAX_JSON_DEPTH

# A wheel of PyYAML has libyaml's parser, a hundred times faster; a build without it has only this one. Both parse alike.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NUMBER = rf"[-+]?(?:0|[1-9][0-9]{{0,{LONGEST_YAML_NUMBER - 1}}})"
_INTEGER = re.compile(_NUMBER)
_DECIMAL = re.compile(_NUMBER + r"(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,4})?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_object(text: str) -> dict[str, Any]:
    """The object that a JSON or YAML text holds. ValueError in one line, with the place, when it holds none."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_AGENT_BYTES:
        raise ValueError(f"the definition has more than {MAX_AGENT_BYTES:,} bytes")
    text = text.removeprefix("\ufeff")
    value = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    if not isinstance(value, dict):
        raise ValueError("the definition must be an object with keys such as system_prompt, in JSON or YAML")
    return value


def _json(text: str) -> Any:
    decoded = decode(text)
    if decoded.error is not None:
        raise ValueError(
            f"not readable as JSON at line {decoded.error['line']}, column {decoded.error['column']}:"
            f" {decoded.error['message']}"
        )
    return decoded.value


def _yaml(text: str) -> Any:
    try:
        return _build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise _refused(reason or "no YAML", error.problem_mark) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ValueError(f"not readable as YAML: {str(error).splitlines()[0]}") from None


def _build(events: Iterator[Any]) -> Any:
    """The value of the one document; an own stack, so that deep nesting cannot exhaust Python's."""
    root: list[Any] = []
    open_boxes: list[tuple[Any, list[str]]] = [(root, [])]
    documents = 0
    for event in events:
        _refuse_extras(event)
        box, key = open_boxes[-1]
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refused("a second document begins; one file holds one agent", event.start_mark)
        elif isinstance(event, yaml.CollectionStartEvent):
            if isinstance(box, dict) and not key:
                raise _refused("a key must be plain text", event.start_mark)
            if len(open_boxes) > MAX_JSON_DEPTH:
                raise _refused(f"nested deeper than {MAX_JSON_DEPTH} levels", event.start_mark)
            inner: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            _put(box, key, inner)
            open_boxes.append((inner, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            open_boxes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            if isinstance(box, dict) and not key:
                if event.value in box:
                    raise _refused(f"the key {event.value[:60]!r} is there twice", event.start_mark)
                key.append(event.value)
            else:
                _put(box, key, _scalar(event))
    return root[0] if root else None


def _refuse_extras(event: Any) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise _refused(
            "anchors and aliases (& and *) are not accepted; write the value out", event.start_mark
        )
    if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
        raise _refused("tags (!) are not accepted; quote a text that begins with !", event.start_mark)


def _put(box: Any, key: list[str], value: Any) -> None:
    if isinstance(box, dict):
        box[key.pop()] = value
    else:
        box.append(value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or a block of text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        if not math.isfinite(number := float(text)):
            raise _refused(f"{text[:60]} is out of range", event.start_mark)
        return number
    return text


def _refused(why: str, mark: Any) -> ValueError:
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return ValueError(f"not readable as YAML{where}: {why}")
