"""A conversation in which the model calls Python functions; each turn is a row you can look at later.

llmreq worker &
python examples/tools.py
"""

from __future__ import annotations

from typing import Literal

from llmreq import Client


def tide_at(hour: int, place: Literal["quay", "bay"] = "quay") -> dict[str, float]:
    """Height of the tide in metres at a full hour of today."""
    if not 0 <= hour <= 23:
        raise ValueError("a day has the hours 0 to 23")  # the model is told, and may try again
    return {"metres": round(2 + 1.8 * (hour % 12) / 12 + (place == "bay"), 2)}


with Client() as client:
    # Name, docstring and annotations are the tool's definition.
    run = client.run_tools(
        {"messages": [{"role": "user", "content": "Can I leave at 15 o'clock? I need 3 metres."}]},
        {"tide_at": tide_at},
        max_turns=5,
        timeout_seconds=120,
    )
    print(run.request.response if run.answered else f"no answer: {run.request.error_message}")
    print(f"{len(run.ids)} turns, {run.cost_usd} dollars")
