"""Long documents through real workers and the simulated provider."""

from __future__ import annotations

import itertools
import signal
from typing import Any

import pytest

from llmreq.simulator.process import Simulator
from llmreq.text.tokens import best_estimator
from tests.worker.fleet import Fleet, Row, Table, check_bill, until

SENTENCE = "In %d the harbour master of Port %d wrote to the Admiralty about crane %d and its owner. "
CHINESE = "第%d号起重机又停在了第%d码头，船长写信给港务局，请求在冬天之前修好它。"


def text(size: int, pattern: str = SENTENCE) -> str:
    sentence = pattern.count("%d")
    made = (pattern % ((n % 900,) * sentence) for n in range(size))
    out, length = [], 0
    for piece in made:
        out.append(piece)
        length += len(piece)
        if length >= size:
            break
    return "".join(out)


def agent(table: Table, **columns: Any) -> None:
    columns = {
        "name": "lister",
        "system_prompt": "List.",
        "provider": "openai",
        "model": "gpt-6-luna",
        **columns,
    }
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    table.all(f"INSERT INTO llm_agents ({names}) VALUES ({marks})", *columns.values())


def pages(table: Table, row: Row) -> list[Row]:
    return table.all("SELECT * FROM llm_requests WHERE parent_id = %s ORDER BY page", row["id"])


@pytest.mark.parametrize(("pattern", "size"), [(SENTENCE, 400_000), (CHINESE + SENTENCE, 150_000)])
def test_a_long_text_is_asked_page_by_page_in_parallel_and_merged_to_one_valid_answer(
    table: Table, fleet: Fleet, simulator: Simulator, pattern: str, size: int
) -> None:
    simulator.configure(latency_ms="300")
    content = text(size, pattern)
    row = table.insert(agent_name="entity-extractor", content=content, tenant_id="acme")
    assert fleet.drain() == 0
    done = table.request(row)
    made = pages(table, row)
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert "".join(page["content"] for page in made) == content
    assert all(best_estimator().estimate(page["content"]) <= 4000 for page in made)
    assert simulator.state()["most_in_flight"] > 5, "pages run side by side"
    assert done["cost_usd"] == sum(page["cost_usd"] for page in made) > 0
    assert done["merge_report"]["complete"] is True
    assert done["merge_report"]["pages"] == len(made) == done["pages_done"] > 10
    assert set(done["parsed_response"]) == {"entities"}
    (first,) = done["parsed_response"]["entities"][:1]
    assert first["mentions"] == len(made), "counts of the same entity are summed over the pages"
    check_bill(table, simulator)


def test_a_killed_worker_costs_no_finished_page_a_second_call(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    simulator.configure(latency_ms="uniform:50:400")
    row = table.insert(agent_name="entity-extractor", content=text(300_000))
    first = fleet.start("--concurrency", "4")
    until("some pages are done", lambda: table.request(row)["pages_done"] or 0 >= 5)
    first.send_signal(signal.SIGKILL)
    first.wait()
    finished = {page["id"] for page in pages(table, row) if page["status"] == "completed"}
    fleet.start()
    until("the document is done", lambda: table.request(row)["status"] == "completed")
    calls = {page["id"]: len(table.attempts(page)) for page in pages(table, row)}
    assert finished
    assert {calls[id] for id in finished} == {1}


def test_one_page_that_answers_garbage_for_ever_is_listed_and_later_called_alone(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    paragraphs = [f"Paragraph {n} about crane {n}. " * 460 for n in range(40)]
    paragraphs[17] = "[[sim:wrong_schema]] " + paragraphs[17]
    row = table.insert(
        agent_name="entity-extractor", content="\n\n".join(paragraphs), tenant_id="acme", max_attempts=3
    )
    assert fleet.drain() == 0
    partial = table.request(row)
    assert partial["status"] == "completed"
    report = partial["merge_report"]
    assert report["complete"] is False
    (missing,) = report["missing_pages"]
    assert (partial["pages"], partial["pages_failed"]) == (40, 1)
    assert missing["error_code"] == "schema_mismatch"
    before = simulator.ledger()["calls"]
    # The provider heals: the page as it is asked now is answered well.
    table.all(
        "UPDATE llm_requests SET content = replace(content, '[[sim:wrong_schema]]', '') WHERE parent_id = %s",
        row["id"],
    )
    assert table.one("SELECT llmreq_retry(%s) AS s", row["id"])["s"] == "waiting"
    assert fleet.drain() == 0
    assert table.request(row)["merge_report"]["missing_pages"] == []
    assert simulator.ledger()["calls"] == before + 1, "exactly one page was called again"


def test_pages_in_order_each_see_the_result_of_the_one_before(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    agent(table, execution="sequential", merge_strategy="last", chunk_tokens=400)
    row = table.insert(agent_name="lister", content=text(6_000))
    assert fleet.drain() == 0
    done = table.request(row)
    made = pages(table, row)
    assert (done["status"], len(made) > 2) == ("completed", True)
    assert done["response"] == made[-1]["response"]
    assert [page["claimed_at"] for page in made] == sorted(page["claimed_at"] for page in made)
    for before, after in itertools.pairwise(made):
        assert before["completed_at"] <= after["claimed_at"]


def test_reduce_makes_one_answer_out_of_the_pages_answers(table: Table, fleet: Fleet) -> None:
    row = table.insert(agent_name="summarizer", content=text(150_000))
    assert fleet.drain() == 0
    done = table.request(row)
    assert done["status"] == "completed", done["error_message"]
    assert set(done["parsed_response"]) == {"summary", "key_points"}
    assert done["merge_report"] == {
        "complete": True,
        "strategy": "reduce",
        "pages": done["pages"],
        "missing_pages": [],
    }
    assert done["cost_usd"] == sum(page["cost_usd"] for page in pages(table, row)) + sum(
        each["cost_usd"] for each in table.attempts(row)
    )


def test_records_are_never_cut_and_csv_pages_have_their_header(table: Table, fleet: Fleet) -> None:
    agent(table, chunk_by="records", chunk_tokens=300)
    rows = "name,berth\r\n" + "".join(f'"crane {n}, the ""old"" one",{n}\r\n' for n in range(200))
    row = table.insert(agent_name="lister", content=rows)
    assert fleet.drain() == 0
    made = pages(table, row)
    assert table.request(row)["status"] == "completed"
    assert len(made) > 3
    assert all(page["content"].startswith("name,berth\r\n") for page in made)
    bad = table.insert(agent_name="lister", content='[{"a": 1}, {"a": ' + "[1, " * 3000)
    assert fleet.drain() == 0
    ended = table.request(bad)
    assert (ended["status"], ended["error_code"]) == ("failed", "invalid_request")
    assert "\n" not in ended["error_message"]


def test_a_conversation_over_the_window_fails_before_it_costs_or_goes_on_with_a_brief(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    table.all("UPDATE llm_models SET context_tokens = 9000 WHERE model = 'gpt-6*'")
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": f"Turn {n}: " + "many words here " * 100}
        for n in range(31)
    ]
    refused = table.insert(provider="openai", model="gpt-6-luna", messages=turns)
    briefed = table.insert(provider="openai", model="gpt-6-luna", messages=turns, on_overflow="compress")
    short = table.insert(provider="openai", model="gpt-6-luna", messages=turns[:9], on_overflow="compress")
    assert fleet.drain() == 0
    ended = table.request(refused)
    assert (ended["status"], ended["error_code"], ended["cost_usd"]) == ("failed", "context_overflow", 0)
    assert "set on_overflow to compress" in ended["error_message"]
    done = table.request(briefed)
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert done["brief"]["text"]
    assert done["input_tokens"] > 0
    (brief,) = pages(table, briefed)
    told = brief["parsed_response"]
    assert told["used_tokens"] == best_estimator().estimate(told["brief"]) <= told["max_tokens"]
    assert table.request(short)["brief"] is None


@pytest.mark.parametrize("key", ["sk-test-openai-5f3a9c", ""])
def test_a_brief_is_never_over_its_cap_with_a_model_or_without(table: Table, fleet: Fleet, key: str) -> None:
    turns = [{"role": "user", "content": text(4_000)}, {"role": "assistant", "content": "Noted. " * 50}]
    row = table.insert(kind="brief", messages=turns, params={"brief_tokens": 60})
    assert fleet.drain(OPENAI_API_KEY=key, ANTHROPIC_API_KEY="") == 0
    done = table.request(row)
    assert (done["status"], done["error_message"]) == ("completed", None)
    told = done["parsed_response"]
    assert told["method"] == ("model" if key else "concatenation")
    assert told["used_tokens"] == best_estimator().estimate(told["brief"]) <= told["max_tokens"] == 60
    assert told["overflow"] is True
    assert told["remaining_tokens"] == 60 - told["used_tokens"]
