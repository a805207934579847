"""A running brief of a conversation, never above its cap: by concatenation, or a model's brief brought under it. Pure.

What is cut goes from the oldest, since the newest turns are what the next answer stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmreq.text.sentences import sentences
from llmreq.text.tokens import TokenEstimator

DEFAULT_BRIEF_TOKENS = 500
_CUT = "… "


@dataclass(frozen=True, slots=True)
class Brief:
    """`text` has `used_tokens` by the estimator that made it, at most `max_tokens`. `overflow`: the turns had more."""

    text: str
    used_tokens: int
    max_tokens: int
    overflow: bool
    summarizations: int

    def as_json(self) -> dict[str, Any]:
        """As `parsed_response` holds it."""
        return {
            "brief": self.text,
            "used_tokens": self.used_tokens,
            "max_tokens": self.max_tokens,
            "remaining_tokens": self.max_tokens - self.used_tokens,
            "overflow": self.overflow,
            "summarizations": self.summarizations,
            "method": "model" if self.summarizations else "concatenation",
        }


def concatenated(turns: str, max_tokens: int, estimator: TokenEstimator) -> Brief:
    """The turns as they are, or as much of their end as fits: no model is needed."""
    text = last_tokens(turns.strip(), max_tokens, estimator)
    return Brief(text, estimator.estimate(text), max_tokens, text != turns.strip(), 0)


def summarized(answer: Any, turns: str, max_tokens: int, estimator: TokenEstimator) -> Brief:
    """A model's brief (its text, or the fields of the running-brief agent), cut at sentences where it is over the cap."""
    text = first_tokens(_said(answer), max_tokens, estimator)
    return Brief(text, estimator.estimate(text), max_tokens, estimator.estimate(turns) > max_tokens, 1)


def turns_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Turns as text, one paragraph each, with who says it."""
    return "\n\n".join(f"{turn.get('role', 'user')}: {_content(turn)}" for turn in messages)


def first_tokens(text: str, max_tokens: int, estimator: TokenEstimator) -> str:
    """The longest run of whole sentences from the start that fits; a part of the first where not even that does."""
    if estimator.estimate(text) <= max_tokens:
        return text
    ends = [end for _, end in sentences(text, 0, len(text))]
    kept = _most(ends, lambda end: estimator.estimate(text[:end].rstrip()) <= max_tokens)
    if kept is not None:
        return text[:kept].rstrip()
    cut = _most(range(len(text) + 1), lambda end: estimator.estimate(text[:end]) <= max_tokens)
    return text[: cut or 0]


def last_tokens(text: str, max_tokens: int, estimator: TokenEstimator) -> str:
    """The longest run of whole sentences to the end that fits, with a sign that something stood before."""
    if estimator.estimate(text) <= max_tokens:
        return text
    starts = [start for start, _ in sentences(text, 0, len(text))][::-1]
    kept = _most(starts, lambda start: estimator.estimate(_CUT + text[start:]) <= max_tokens)
    if kept is not None:
        return _CUT + text[kept:]
    cut = _most(range(len(text) + 1), lambda size: estimator.estimate(text[len(text) - size :]) <= max_tokens)
    return text[len(text) - (cut or 0) :]


def _most(places: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The last place that fits: the farther, the longer the text."""
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        if fits(places[middle]):
            low = middle + 1
        else:
            high = middle
    # Tokens are not quite monotone in characters: step back until it truly fits.
    while low > 0 and not fits(places[low - 1]):
        low -= 1
    return places[low - 1] if low else None


def _said(answer: Any) -> str:
    if isinstance(answer, str):
        return answer.strip()
    if not isinstance(answer, Mapping):
        return ""
    parts = [str(answer.get("brief") or "").strip()]
    for name, value in answer.items():
        if name != "brief" and isinstance(value, list) and value:
            items = "; ".join(str(item) for item in value)
            parts.append(f"{name.replace('_', ' ').capitalize()}: {items}.")
    return "\n".join(part for part in parts if part)


def _content(turn: Mapping[str, Any]) -> str:
    content = turn.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping)).strip()
    calls = turn.get("tool_calls")
    return f"calls {calls}" if calls else ""
