"""A question whose answer is an object of your own type.

    llmreq worker &          # something must do the work
    python examples/ask.py

The database is LLMREQ_DATABASE_URL, else the embedded one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmreq import Client


@dataclass
class Ticket:
    """A Pydantic model does as well. Its schema goes into the row; an answer that does not meet it is asked for again."""

    category: Literal["fault", "question", "praise"]
    urgency: int


TICKETS = [
    "The crane on quay 3 is stuck again. Third time this week!",
    "When does the fish market open?",
    "Thank you for the new lights on the breakwater.",
]

with Client() as client:
    # One question, one answer.
    ticket = client.ask({"content": TICKETS[0], "task_type": "triage"}, Ticket, timeout_seconds=60)
    print(ticket.category, ticket.urgency)

    # Many: they are rows in `llm_requests`, answered by as many workers as you run, also after this program has ended.
    ids = client.enqueue_many(
        {"content": text, "task_type": "triage", "response_model": Ticket} for text in TICKETS
    )
    for request in client.stream(ids, timeout_seconds=60):
        if request.status == "completed":
            print(request.parsed_as(Ticket), request.cost_usd)
        else:
            print(request.status, request.error_message)
