"""What a plain INSERT makes of a row, before any worker sees it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.engine.queue import HELLO, Queue


def test_a_bare_insert_is_routed_and_pending(queue: Queue) -> None:
    row = queue.one(
        """INSERT INTO llm_requests (messages) VALUES ('[{"role":"user","content":"hi"}]') RETURNING *"""
    )
    assert (row["status"], row["lane"]) == ("pending", "openai/gpt-6-luna")
    assert row["route_id"] is not None
    assert (row["attempts"], row["cost_usd"]) == (0, 0)


def test_a_route_prefers_a_candidate_that_a_live_worker_serves(queue: Queue) -> None:
    queue.worker("anthropic")
    row = queue.one("INSERT INTO llm_requests (content) VALUES ('hi') RETURNING *")
    assert row["lane"] == "anthropic/claude-haiku-5-5"


def test_the_most_specific_route_wins(queue: Queue) -> None:
    assert queue.insert(task_type="chunking", content="text")["lane"] == "local/rules"
    assert queue.insert(quality="premium")["lane"] == "openai/gpt-6.1-sol"


def test_a_model_alone_finds_its_provider_in_the_price_book(queue: Queue) -> None:
    assert queue.insert(model="claude-haiku-5-5")["lane"] == "anthropic/claude-haiku-5-5"
    assert queue.insert(model="anthropic/claude-haiku-5-5")["lane"] == "anthropic/claude-haiku-5-5"


@pytest.mark.parametrize(
    ("columns", "code", "says"),
    [
        ({"messages": {"role": "user"}}, "invalid_request", "must be a list"),
        ({"messages": []}, "invalid_request", "empty list"),
        ({"messages": ["hi"]}, "invalid_request", "messages[0] must be"),
        (
            {"messages": [*HELLO, {"role": "robot", "content": "x"}]},
            "invalid_request",
            "messages[1].role 'robot' does not exist",
        ),
        ({"messages": [{"content": "x"}]}, "invalid_request", "messages[0] has no role"),
        ({"messages": [{"role": "user"}]}, "invalid_request", "messages[0] has no content"),
        (
            {"messages": [{"role": "user", "content": 7}]},
            "invalid_request",
            "must be a text or a list of blocks",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_request", "names no tool_call_id"),
        ({"content": ""}, "invalid_request", "holds no question"),
        ({"model": "no-such-model"}, "unknown_model", "set provider too"),
        ({"provider": "nobody"}, "unknown_model", "set model"),
        ({"agent_name": "ghost"}, "unknown_agent", "ghost"),
    ],
)
def test_what_can_never_be_sent_ends_at_once_with_one_clear_line(
    queue: Queue, columns: dict[str, Any], code: str, says: str
) -> None:
    row = queue.insert(**columns)
    assert (row["status"], row["error_code"]) == ("failed", code)
    assert says in row["error_message"]
    assert "\n" not in row["error_message"]
    assert row["completed_at"] is not None


def test_one_bad_row_of_a_copy_does_not_cost_the_others(queue: Queue) -> None:
    with queue.connection.cursor().copy("COPY llm_requests (messages) FROM STDIN") as copy:
        copy.write(
            '[{"role":"user","content":"one"}]\n{"not":"a list"}\n[{"role":"user","content":"three"}]\n'
        )
    counts = queue.one(
        "SELECT count(*) FILTER (WHERE status='pending') AS good,"
        " count(*) FILTER (WHERE status='failed') AS bad FROM llm_requests"
    )
    assert counts == {"good": 2, "bad": 1}


def test_inserting_twice_with_a_dedupe_key_is_inserting_once(queue: Queue) -> None:
    first = queue.insert(dedupe_key="invoice-7")
    assert queue.run("INSERT INTO llm_requests (content, dedupe_key) VALUES ('again', 'invoice-7')") == 0
    other = queue.insert(dedupe_key="invoice-7", tenant_id="other")
    assert other["id"] != first["id"]
    again = queue.one("SELECT llmreq_enqueue(p_content => 'again', p_dedupe_key => 'invoice-7') AS id")
    assert again["id"] == first["id"]


def test_a_producer_cannot_write_the_workers_columns(queue: Queue) -> None:
    row = queue.insert(claim_seq=99, attempts=5, cost_usd=-3)
    assert (row["claim_seq"], row["attempts"], row["cost_usd"]) == (0, 0, 0)


def test_values_outside_their_range_are_refused(queue: Queue) -> None:
    for column, value in (("priority", 10), ("kind", "song"), ("timeout_seconds", 0), ("max_attempts", 0)):
        with pytest.raises(psycopg.errors.CheckViolation):
            queue.insert(**{column: value})


def test_ids_are_version_7_and_in_order_of_time(queue: Queue) -> None:
    ids = [queue.insert()["id"] for _ in range(3)]
    assert all(id.version == 7 for id in ids)
    assert [id.int >> 80 for id in ids] == sorted(id.int >> 80 for id in ids)


def test_enqueue_takes_every_producer_column_and_names_an_unknown_one(queue: Queue) -> None:
    id = queue.one(
        """SELECT llmreq_enqueue(p_content => 'hi', p_options => '{"priority": 1, "quality": "good"}') AS id"""
    )["id"]
    assert queue.request({"id": id})["priority"] == 1
    with pytest.raises(psycopg.Error, match="unknown option prio"):
        queue.one("""SELECT llmreq_enqueue(p_content => 'hi', p_options => '{"prio": 1}')""")


def test_an_edit_of_a_pending_row_finds_its_lane_anew(queue: Queue) -> None:
    row = queue.insert()
    queue.run("UPDATE llm_requests SET provider='anthropic', model='claude-haiku-5-5' WHERE id=%s", row["id"])
    edited = queue.request(row)
    assert edited["lane"] == "anthropic/claude-haiku-5-5"
    assert edited["claim_seq"] == 1
