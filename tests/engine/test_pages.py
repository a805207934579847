"""Documents in the SQL functions: cut, called page by page, merged; failing, cancelled, retried."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.engine.queue import Queue, Row

TEXT = "One sentence stands here. " * 2000


@pytest.fixture(autouse=True)
def agent(queue: Queue) -> Row:
    return add_agent(queue)


def add_agent(queue: Queue, **columns: Any) -> Row:
    columns = {
        "name": "reader",
        "system_prompt": "Read.",
        "provider": "openai",
        "model": "gpt-6-luna",
        "chunk_tokens": 1000,
        "on_page_failure": "partial",
        **columns,
    }
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    return queue.one(f"INSERT INTO llm_agents ({names}) VALUES ({marks}) RETURNING *", *columns.values())


def document(queue: Queue, pages: int = 3, **columns: Any) -> tuple[int, Row]:
    """A long request, cut into so many pages by a worker; returns the worker and the document."""
    row = queue.insert(agent_name="reader", content=TEXT, **columns)
    assert (row["lane"], row["pages_lane"]) == ("local/pages", "openai/gpt-6-luna")
    worker = queue.worker("openai", "local/rules", "local/pages")
    size = len(TEXT) // pages
    places = [{"start": n * size, "end": (n + 1) * size, "tokens": 500} for n in range(pages)]
    queue.finish(
        worker, queue.claim_one(worker), step="paginated", pages=places, input_tokens=0, output_tokens=0
    )
    return worker, queue.request(row)


def pages(queue: Queue, row: Row) -> list[Row]:
    return queue.all("SELECT * FROM llm_requests WHERE parent_id = %s ORDER BY page", row["id"])


def test_a_long_text_becomes_pages_with_its_own_places_and_everything_that_binds_it(queue: Queue) -> None:
    run = "00000000-0000-0000-0000-000000000007"
    _, row = document(queue, priority=2, expires_at=queue.now.replace(hour=20), run_id=run)
    assert (row["status"], row["pages"], row["attempts"]) == ("waiting", 3, 0)
    made = pages(queue, row)
    assert "".join(page["content"] for page in made) == TEXT[: made[-1]["page_end"]]
    for page in made:
        assert (page["status"], page["lane"], page["tenant_id"], page["priority"]) == (
            "pending", "openai/gpt-6-luna", "default", 2,
        )  # fmt: skip
        assert (page["expires_at"], str(page["run_id"]), page["agent_ref"]) == (
            row["expires_at"],
            run,
            row["agent_ref"],
        )


def test_the_last_page_brings_its_document_back_to_be_merged_with_the_cost_of_all(queue: Queue) -> None:
    worker, row = document(queue)
    claims = queue.claim(worker)
    for n, claim in enumerate(claims):
        assert queue.request(row)["status"] == "waiting"
        assert queue.request(row)["pages_done"] == n
        queue.finish(worker, claim, parsed_response={"n": n})
    ready = queue.request(row)
    assert (ready["status"], ready["lane"], ready["pages_done"]) == ("pending", "local/pages", 3)
    assert ready["cost_usd"] == sum(page["cost_usd"] for page in pages(queue, row)) > 0
    merge = queue.claim_one(worker)
    assert merge["id"] == row["id"]
    queue.finish(
        worker,
        merge,
        parsed_response={"n": 3},
        merge_report={"complete": True},
        input_tokens=0,
        output_tokens=0,
    )
    done = queue.request(row)
    assert (done["status"], done["parsed_response"], done["input_tokens"]) == ("completed", {"n": 3}, 300)
    assert done["cost_usd"] == sum(page["cost_usd"] for page in pages(queue, row))


def test_a_text_that_fits_after_all_goes_on_to_its_lane_uncharged(queue: Queue) -> None:
    row = queue.insert(agent_name="reader", content=TEXT)
    worker = queue.worker("openai", "local/rules", "local/pages")
    queue.finish(worker, queue.claim_one(worker), step="fits", input_tokens=0, output_tokens=0)
    fits = queue.request(row)
    assert (fits["status"], fits["lane"], fits["attempts"], fits["error_code"]) == (
        "pending",
        "openai/gpt-6-luna",
        0,
        None,
    )


def test_pages_in_order_begin_when_the_one_before_has_ended(queue: Queue) -> None:
    worker, row = document(queue, execution="sequential")
    assert [page["status"] for page in pages(queue, row)] == ["pending", "waiting", "waiting"]
    for n in range(3):
        claim = queue.claim_one(worker)
        assert queue.request(claim)["page"] == n + 1
        queue.finish(worker, claim)
    assert queue.request(row)["lane"] == "local/pages"


@pytest.mark.parametrize("policy", ["partial", "fail"])
def test_a_failed_page_is_told_or_ends_its_document_by_the_agents_policy(queue: Queue, policy: str) -> None:
    add_agent(queue, on_page_failure=policy)
    worker, row = document(queue)
    first, second, third = queue.claim(worker)
    queue.finish(worker, first)
    queue.finish(worker, second, "refused", error_message="no")
    now = queue.request(row)
    if policy == "fail":
        assert (now["status"], now["error_code"]) == ("failed", "partial_failure")
        assert "1 of 3 pages failed; page 2: refused: no" in now["error_message"]
        assert queue.request(third)["cancel_requested_at"] is not None
        queue.finish(worker, third, "cancelled", billed="upper_bound")
        assert queue.request(row)["cost_usd"] == sum(page["cost_usd"] for page in pages(queue, row))
    else:
        assert (now["status"], now["pages_failed"]) == ("waiting", 1)
        queue.finish(worker, third)
        assert queue.request(row)["status"] == "pending"


def test_a_retry_calls_only_the_pages_that_failed_and_merges_again(queue: Queue) -> None:
    worker, row = document(queue)
    for n, claim in enumerate(queue.claim(worker)):
        queue.finish(worker, claim, "refused" if n == 1 else "completed")
    queue.finish(
        worker, queue.claim_one(worker), merge_report={"complete": False}, input_tokens=0, output_tokens=0
    )
    assert queue.request(row)["status"] == "completed"
    assert queue.one("SELECT llmreq_retry(%s) AS status", row["id"])["status"] == "waiting"
    again = queue.claim_one(worker)
    assert queue.request(again)["error_code"] is None
    queue.finish(worker, again)
    merge = queue.claim_one(worker)
    queue.finish(worker, merge, merge_report={"complete": True}, input_tokens=0, output_tokens=0)
    assert queue.request(row)["merge_report"] == {"complete": True}
    assert queue.one("SELECT llmreq_retry(%s) AS status", row["id"])["status"] == "completed", (
        "nothing is left to retry"
    )
    assert [len(queue.attempts(page)) for page in pages(queue, row)].count(2) == 1


def test_retrying_a_page_retries_its_document(queue: Queue) -> None:
    add_agent(queue, on_page_failure="fail")
    worker, row = document(queue)
    claims = queue.claim(worker)
    queue.finish(worker, claims[0], "refused")
    for claim in claims[1:]:
        queue.finish(worker, claim, "cancelled")
    failed = pages(queue, row)[0] if pages(queue, row)[0]["error_code"] else claims[0]
    assert queue.one("SELECT llmreq_retry(%s) AS status", failed["id"])["status"] == "pending"
    assert queue.request(row)["status"] == "waiting"
    assert len(queue.claim(worker)) == 3


def test_cancelling_a_document_cancels_its_pages(queue: Queue) -> None:
    worker, row = document(queue)
    (running,) = queue.claim(worker, 1)
    assert queue.one("SELECT llmreq_cancel(%s) AS s", row["id"])["s"] == "cancelled"
    statuses = {
        page["id"]: (page["status"], page["cancel_requested_at"] is not None) for page in pages(queue, row)
    }
    assert statuses.pop(running["id"]) == ("processing", True)
    assert set(statuses.values()) == {("cancelled", False)}
    queue.finish(worker, running, "cancelled")
    assert queue.request(row)["status"] == "cancelled"


def test_a_document_whose_every_page_failed_fails(queue: Queue) -> None:
    worker, row = document(queue)
    for claim in queue.claim(worker):
        queue.finish(worker, claim, "refused")
    assert queue.request(row)["error_code"] == "partial_failure"


@pytest.mark.parametrize("end", ["expire", "poison", "budget"])
def test_pages_that_end_without_a_call_turn_their_document_too(queue: Queue, end: str) -> None:
    worker, row = document(queue, expires_at=queue.now.replace(hour=20))
    if end == "expire":
        queue.set_clock(queue.now.replace(hour=21))
        queue.one("SELECT llmreq_expire()")
    elif end == "budget":
        queue.run("INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'day', 0.000000000001)")
        queue.claim(worker)
    else:
        for _ in range(3):
            queue.claim(queue.worker("openai"))
            queue.advance(seconds=20)
            queue.rescue()
    assert queue.request(row)["error_code"] == "partial_failure"


def test_reduce_asks_the_model_once_more_at_the_size_of_the_answers(queue: Queue) -> None:
    worker, row = document(queue, merge_strategy="reduce")
    for claim in queue.claim(worker):
        queue.finish(worker, claim, response="short")
    ready = queue.request(row)
    assert (ready["lane"], ready["status"]) == ("openai/gpt-6-luna", "pending")
    assert ready["input_bytes"] < 5000 < len(TEXT)
    queue.finish(worker, queue.claim_one(worker))
    assert queue.request(row)["status"] == "completed"
    assert len(queue.attempts(row)) == 2


def test_older_turns_become_a_brief_and_the_question_goes_on(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_models (provider, model, context_tokens, source) VALUES ('openai', 'small', 6000, 'test')"
    )
    turns = [{"role": "user", "content": "word " * 600} for _ in range(6)]
    row = queue.insert(provider="openai", model="small", messages=turns, on_overflow="compress")
    assert row["lane"] == "local/pages"
    worker = queue.worker("openai", "local/rules", "local/pages")
    page = {"turns": [0, 4], "content": "user: …", "rest_bytes": 6000, "params": {"brief_tokens": 100}}
    queue.finish(
        worker, queue.claim_one(worker), step="paginated", pages=[page], input_tokens=0, output_tokens=0
    )
    (brief,) = pages(queue, row)
    assert (brief["kind"], brief["agent_name"], brief["content"]) == ("brief", "running-brief", "user: …")
    queue.finish(worker, queue.claim_one(worker), parsed_response={"brief": "They talked."})
    ready = queue.request(row)
    assert (ready["lane"], ready["brief"]["text"], ready["brief"]["turns"]) == (
        "openai/small",
        "They talked.",
        [0, 4],
    )
    assert ready["input_bytes"] < 12_000 < row["input_bytes"]
    queue.finish(worker, queue.claim_one(worker))
    assert queue.request(row)["cost_usd"] is None, "the model has no price, and that is loud"


def test_an_agent_fills_what_the_row_leaves_open_and_nothing_else(queue: Queue) -> None:
    add_agent(
        queue,
        name="tagger",
        task_type="tagging",
        max_output_tokens=77,
        params=psycopg.types.json.Json({"temperature": 0}),
    )
    row = queue.insert(agent_name="tagger", content="short")
    assert (row["agent_id"], row["task_type"], row["lane"], row["output_cap"]) == (
        "tagger", "tagging", "openai/gpt-6-luna", 77,
    )  # fmt: skip
    assert row["params"] == {"temperature": 0, "max_output_tokens": 77}
    own = queue.insert(
        agent_name="tagger", content="short", task_type="mine", provider="anthropic", model="claude-haiku-4-5",
        params={"max_output_tokens": 5},
    )  # fmt: skip
    assert (own["task_type"], own["lane"], own["output_cap"]) == ("mine", "anthropic/claude-haiku-4-5", 5)


def test_an_unknown_agent_or_version_ends_at_once_with_one_line(queue: Queue) -> None:
    row = queue.insert(agent_name="nobody", content="x")
    assert (row["status"], row["error_code"]) == ("failed", "unknown_agent")
    assert "llmreq agents list" in row["error_message"]
    assert queue.insert(agent_name="reader", agent_version=9, content="x")["error_code"] == "unknown_agent"


def test_versions_count_themselves_never_change_and_retire(queue: Queue) -> None:
    second = add_agent(queue, system_prompt="Read well.")
    assert second["version"] == 2
    assert queue.insert(agent_name="reader", content="x")["agent_version"] == 2
    assert queue.insert(agent_name="reader", agent_version=1, content="x")["agent_version"] == 1
    with pytest.raises(psycopg.Error, match="never changes"):
        queue.run("UPDATE llm_agents SET system_prompt = 'x' WHERE id = %s", second["id"])
    queue.run("UPDATE llm_agents SET retired_at = llmreq_now() WHERE id = %s", second["id"])
    assert queue.insert(agent_name="reader", content="x")["agent_version"] == 1


def test_a_tenants_own_agent_comes_before_everybodys(queue: Queue) -> None:
    add_agent(queue, tenant_id="*", name="shared")
    mine = add_agent(queue, tenant_id="acme", name="shared")
    assert queue.insert(tenant_id="acme", agent_name="shared", content="x")["agent_ref"] == mine["id"]
    assert queue.insert(tenant_id="other", agent_name="shared", content="x")["agent_ref"] != mine["id"]
    assert queue.insert(tenant_id="other", agent_name="reader", content="x")["error_code"] == "unknown_agent"


def test_a_schema_that_refers_elsewhere_is_refused_when_saved(queue: Queue) -> None:
    with pytest.raises(psycopg.Error, match="refers to another document"):
        add_agent(
            queue, name="remote", output_schema=psycopg.types.json.Json({"$ref": "https://example.com/x"})
        )


def test_a_budget_binds_pages_as_it_binds_any_request(queue: Queue) -> None:
    worker, row = document(queue)
    hold = queue.claim(worker, 1)
    each = queue.request(hold[0])["hold_usd"]
    queue.finish(worker, hold[0], "released")
    queue.run(
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('agent', 'reader', 'day', %s)",
        each,
    )
    assert len(queue.claim(worker)) == 1
    assert {page["wait_reason"] for page in pages(queue, row)} == {None, "budget"}
    assert queue.one("SELECT sum(cost_usd) AS usd FROM llm_attempts")["usd"] == Decimal(0)


def test_an_edit_measures_a_long_row_anew_and_finds_its_lane(queue: Queue) -> None:
    row = queue.insert(agent_name="reader", content=TEXT)
    queue.run("UPDATE llm_requests SET content = 'short' WHERE id = %s", row["id"])
    short = queue.request(row)
    assert (short["lane"], short["pages_lane"]) == ("openai/gpt-6-luna", None)
    queue.run("UPDATE llm_requests SET content = %s WHERE id = %s", TEXT, row["id"])
    worker = queue.worker("openai", "local/pages")
    claim = queue.claim_one(worker)
    queue.advance(seconds=20)
    queue.rescue()
    again = queue.request(claim)
    assert (again["lane"], again["provider"], again["model"]) == ("local/pages", "openai", "gpt-6-luna")
    queue.run(
        "UPDATE llm_requests SET provider = 'anthropic', model = 'claude-haiku-4-5' WHERE id = %s", row["id"]
    )
    moved = queue.request(row)
    assert (moved["lane"], moved["pages_lane"]) == ("local/pages", "anthropic/claude-haiku-4-5")
    queue.run("UPDATE llm_requests SET agent_name = 'nobody' WHERE id = %s", row["id"])
    assert queue.request(row)["error_code"] == "unknown_agent"
