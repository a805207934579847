"""A lane's name."""

from __future__ import annotations

from llmreq.errors import InvalidRequestError
from llmreq.governor.bounds import require_bytes
from llmreq.limits import LABEL_BYTES


def split_lane(lane: str) -> tuple[str, str]:
    """`provider/model` in its two parts; the model may hold further slashes. Raises InvalidRequestError."""
    provider, slash, model = lane.strip().partition("/")
    if not (provider and slash and model):
        shown = lane if len(lane) <= _SHOWN_CHARS else f"{lane[:_SHOWN_CHARS]}…"
        raise InvalidRequestError(f"{shown!r} is no lane: write provider/model, as in openai/gpt-6-luna")
    require_bytes("the provider", provider, LABEL_BYTES["provider"])
    require_bytes("the model", model, LABEL_BYTES["model"])
    return provider, model


_SHOWN_CHARS = 100
