"""The hold bounds the body that is sent: whatever can reach the provider is in it; what has no bound is refused under a cap."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.queue import Queue
from tests.engine.test_budgets import budget

PLAIN = {"provider": "openai", "model": "gpt-6-luna"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/crane.png"}}


def asked(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "hi"}, *blocks]}]


def held(queue: Queue, **columns: Any) -> int:
    """Tokens that a claim of such a request holds."""
    row = queue.insert(**{**PLAIN, **columns})
    worker = queue.worker()
    claim = queue.claim_one(worker)
    tokens = queue.request(row)["hold_tokens"]
    queue.finish(worker, claim, "released")
    queue.run("DELETE FROM llm_requests")
    assert isinstance(tokens, int)
    return tokens


@pytest.mark.parametrize(
    ("columns", "bytes_more"),
    [
        ({"params": {"labels": ["x" * 100] * 100}}, 10_000),
        ({"params": {"functions": [{"name": "f", "description": "x" * 10_000}]}}, 10_000),
        ({"params": {"whatever": "x" * 10_000}}, 10_000),
        ({"tool_choice": {"type": "function", "function": {"name": "x" * 10_000}}}, 10_000),
        ({"response_schema": {"description": "x" * 10_000}}, 20_000),  # in the format, and in the prompt
    ],
)
def test_every_byte_that_can_be_sent_is_held(queue: Queue, columns: dict[str, Any], bytes_more: int) -> None:
    assert held(queue, **columns) - held(queue) >= bytes_more / 1.4


@pytest.mark.parametrize(
    ("provider", "model", "each"),
    [
        ("openai", "gpt-4o-mini", 48_169),
        ("openai", "gpt-6-luna", 24_600),
        ("anthropic", "claude-haiku-4-5", 4_800),
    ],
)
def test_an_image_is_held_at_its_vendors_bound_whatever_its_data(
    queue: Queue, provider: str, model: str, each: int
) -> None:
    where = {"provider": provider, "model": model}
    plain = held(queue, **where, messages=asked())
    linked = held(queue, **where, messages=asked(IMAGE, IMAGE))
    assert 2 * each <= linked - plain <= 2 * each + 1000
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBO" * 50_000}}
    assert held(queue, **where, messages=asked(data)) - plain <= each + 1000
    inside = {
        "role": "tool",
        "tool_call_id": "c",
        "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}],
    }
    assert held(queue, **where, messages=[*asked(), inside]) - plain >= each


def test_several_answers_are_held_each_at_the_cap(queue: Queue) -> None:
    one = held(queue, params={"max_output_tokens": 1000})
    assert held(queue, params={"max_output_tokens": 1000, "n": 5}) - one >= 4000


UNBOUNDED = [
    {"messages": asked({"type": "file", "file": {"file_id": "f"}})},
    {"messages": asked({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}})},
    {"messages": asked({"type": "document", "source": {"type": "base64", "data": "x"}})},
    {"params": {"web_search_options": {}}},
    {"params": {"modalities": ["text", "audio"]}},
    {"params": {"speed": "fast"}},
    {"params": {"inference_geo": "us"}},
    {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    {"provider": "house", "model": "llama", "messages": asked(IMAGE)},
]


@pytest.mark.parametrize("columns", UNBOUNDED)
@pytest.mark.parametrize("limit", [{"limit_usd": 1000}, {"limit_tokens": 10**9}])
def test_what_nobody_can_bound_is_refused_under_a_cap_and_only_there(
    queue: Queue, columns: dict[str, Any], limit: dict[str, Any]
) -> None:
    queue.run("INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
              " VALUES ('house', '*', 'epoch', 1, 1, 'test')")  # fmt: skip
    budget(queue, "tenant", "capped", **limit)
    refused = queue.insert(**{**PLAIN, **columns}, tenant_id="capped")
    free = queue.insert(**{**PLAIN, **columns}, tenant_id="free")
    worker = queue.worker("openai", "house")
    (claim,) = queue.claim(worker)
    assert claim["id"] == free["id"]
    end = queue.request(refused)
    assert (end["status"], end["error_code"]) == ("failed", "unbounded_cost")
    assert queue.finish(worker, claim)["status"] == "completed"
    assert queue.request(free)["cost_usd"] > 0


def test_a_document_of_plain_text_is_text(queue: Queue) -> None:
    block = {"type": "document", "source": {"type": "text", "data": "x" * 14_000}}
    assert held(queue, messages=asked(block)) - held(queue, messages=asked()) >= 10_000


def test_a_page_in_order_holds_the_result_of_the_page_before(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_agents (name, system_prompt, provider, model, chunk_tokens, execution)"
        " VALUES ('reader', 'Read.', 'openai', 'gpt-6-luna', 1000, 'sequential')"
    )
    row = queue.insert(agent_name="reader", content="One sentence stands here. " * 2000)
    worker = queue.worker()
    places = [{"start": n * 100, "end": n * 100 + 100, "tokens": 500} for n in range(2)]
    queue.finish(
        worker, queue.claim_one(worker), step="paginated", pages=places, input_tokens=0, output_tokens=0
    )
    first = queue.claim_one(worker)
    before = queue.request(first)["hold_tokens"]
    queue.finish(worker, first, response="x" * 14_000)
    second = queue.claim_one(worker)
    assert queue.request(second)["hold_tokens"] - before >= 10_000
    queue.finish(worker, second)
    assert queue.request(row)["status"] == "pending"


def test_a_budget_of_nothing_stops_spending_and_loses_nobody(queue: Queue) -> None:
    row = queue.insert()
    stop = budget(queue, limit_usd=0)
    worker = queue.worker()
    assert queue.claim(worker) == []
    assert queue.request(row)["wait_reason"] == "budget"
    queue.run("UPDATE llm_budgets SET limit_usd = 5 WHERE id = %s", stop["id"])
    assert [claim["id"] for claim in queue.claim(worker)] == [row["id"]]
