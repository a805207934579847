"""The brain of `local/rules`: what can be done with a text without a model. What cannot be done is refused, not pretended."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmreq.errors import InvalidRequestError
from llmreq.text.chunking import Chunk, chunk_text
from llmreq.text.entities import entities
from llmreq.text.keywords import keywords, summary
from llmreq.text.language import detect_language
from llmreq.text.tokens import best_estimator

DEFAULT_CHUNK_TOKENS = 400
_SPEAKER = re.compile(r"^([A-ZÄÖÜ][\w.'-]+(?: [A-ZÄÖÜ][\w.'-]+){0,3}):\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RulesTask:
    """What to do (`task_type`) with which text; `options` are the request's params."""

    task_type: str
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)


def run_rules(task: RulesTask) -> dict[str, Any]:
    """The task's result as JSON. Raises InvalidRequestError for a task that rules cannot do."""
    do = _TASKS.get(task.task_type)
    if do is None:
        raise InvalidRequestError(
            f"local/rules cannot do {task.task_type!r}; it can do {', '.join(sorted(_TASKS))}."
            " Set provider and model, or one of these as task_type",
            details={"task_type": task.task_type},
        )
    if not task.text.strip():
        raise InvalidRequestError("local/rules needs a text that is not empty")
    return do(task)


def _chunking(task: RulesTask) -> dict[str, Any]:
    size = _whole(task.options, "max_tokens_per_chunk", DEFAULT_CHUNK_TOKENS)
    overlap = _whole(task.options, "overlap_tokens", 0, low=0)
    if overlap >= size:
        raise InvalidRequestError("params.overlap_tokens must be smaller than params.max_tokens_per_chunk")
    chunks = chunk_text(task.text, max_tokens=size, overlap_tokens=overlap, estimator=best_estimator())
    return {
        "chunks": [_described(chunk) for chunk in chunks],
        "language": detect_language(task.text)[0],
        "coverage": 1.0,
    }


def _described(chunk: Chunk) -> dict[str, Any]:
    speaker = _speaker(chunk.text)
    return {
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "language": detect_language(chunk.text)[0],
        "labels": keywords(chunk.text, 5),
        "speaker": speaker,
        "entities": [_entity(entity, chunk.start) for entity in entities(chunk.text)],
        "summary": summary(chunk.text),
        "quality_level": "basic",
    }


def _speaker(text: str) -> str | None:
    """Who speaks first: NAME: in capitals, or a Name: that speaks more than once. A title with a colon is nobody."""
    names = [match.group(1) for match in _SPEAKER.finditer(text)]
    for name in names:
        if name.isupper() or names.count(name) > 1:
            return name.title()
    return None


def _entities(task: RulesTask) -> dict[str, Any]:
    return {"entities": [_entity(entity, 0) for entity in entities(task.text)]}


def _keywords(task: RulesTask) -> dict[str, Any]:
    return {"keywords": keywords(task.text, _whole(task.options, "limit", 10))}


def _language(task: RulesTask) -> dict[str, Any]:
    code, confidence = detect_language(task.text)
    return {"language": code, "confidence": confidence}


def _summary(task: RulesTask) -> dict[str, Any]:
    return {"summary": summary(task.text, _whole(task.options, "sentences", 3)), "method": "extractive"}


def _classification(task: RulesTask) -> dict[str, Any]:
    """By how often a label, or one of its words, is said."""
    given = task.options.get("labels")
    if isinstance(given, list) and given and all(isinstance(label, str) for label in given):
        words = {label: [label] for label in given}
    elif isinstance(given, dict) and given and all(isinstance(each, list) for each in given.values()):
        words = {label: [label, *map(str, each)] for label, each in given.items()}
    else:
        raise InvalidRequestError(
            'local/rules classifies by labels: set params.labels to ["a", "b"] or {"a": ["word", …], …}'
        )
    text = task.text.lower()
    scores = {
        label: sum(len(re.findall(rf"\b{re.escape(word.lower())}\w{{0,3}}\b", text)) for word in each)
        for label, each in words.items()
    }
    best = max(scores, key=lambda label: scores[label])
    total = sum(scores.values())
    if total == 0:
        return {"label": None, "confidence": 0.0, "scores": scores}
    return {"label": best, "confidence": round(scores[best] / total, 2), "scores": scores}


def _tagging(task: RulesTask) -> dict[str, Any]:
    return {**_keywords(task), **_language(task), **_entities(task)}


_TASKS: Mapping[str, Callable[[RulesTask], dict[str, Any]]] = {
    "chunking": _chunking,
    "semantic_chunking": _chunking,
    "entities": _entities,
    "entity_extraction": _entities,
    "keywords": _keywords,
    "language": _language,
    "language_detection": _language,
    "summary": _summary,
    "summarization": _summary,
    "classification": _classification,
    "tagging": _tagging,
}


def _entity(entity: Any, offset: int) -> dict[str, Any]:
    return {
        "text": entity.text,
        "type": entity.type,
        "start": entity.start + offset,
        "end": entity.end + offset,
    }


def _whole(options: Mapping[str, Any], name: str, default: int, low: int = 1) -> int:
    value = options.get(name, default)
    if type(value) is not int or value < low:
        raise InvalidRequestError(f"params.{name} must be a whole number from {low} on")
    return value
