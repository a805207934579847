"""A lane's name."""

from __future__ import annotations

from llmreq.errors import InvalidRequestError
from llmreq.limits import MAX_LABEL_CHARS


def split_lane(lane: str) -> tuple[str, str]:
    """`provider/model` in its two parts; the model may hold further slashes. Raises InvalidRequestError."""
    provider, slash, model = lane.strip().partition("/")
    if not (provider and slash and model) or len(lane) > MAX_LABEL_CHARS:
        raise InvalidRequestError(f"{lane!r} is no lane: write provider/model, as in openai/gpt-6-luna")
    return provider, model
