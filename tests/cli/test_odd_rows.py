"""Odd rows spoil no command: each is shown as well as can be, beside the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue
from tests.odd_rows import MOMENTS, READ, odd_request, unguarded

LISTS = (
    ["list"],
    ["status"],
    ["limits", "list"],
    ["budgets", "list"],
    ["prices", "list"],
    ["routes", "list"],
    ["doctor"],
)
PAINT = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
"""Clears a terminal, renames its window, colours it (in one byte), and writes from right to left."""


def well(run: Run, *arguments: object) -> Any:
    result = run(*arguments)
    assert result.exit_code in (0, 1 if arguments[0] == "doctor" else 0), result.output
    return result


@pytest.fixture
def good(run: Run) -> str:
    return str(run("enqueue", "hi", "--model", "openai/gpt-6-luna").stdout.strip())


def test_moments_that_never_were_or_will_be_spoil_no_command(run: Run, queue: Queue, good: str) -> None:
    odd = {
        odd_request(queue, lane=f"mine/{n}", **dict.fromkeys(MOMENTS, at)): at for n, at in enumerate(READ)
    }
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, blocked_until) VALUES ('mine/0', 'mine', '0', 'infinity')"
    )
    queue.run(
        "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, source)"
        " VALUES ('mine', 'm', '294276-01-01', 1, 'x'), ('mine', 'n', 'infinity', 1, 'x')"
    )
    for arguments in (*LISTS, ["prices", "list", "--all"]):
        well(run, *arguments)
        well(run, *arguments, "--json")
    valid = {
        row["model"]: row["valid_from"] for row in documents(run("prices", "list", "mine", "--all", "--json"))
    }
    assert valid == dict.fromkeys(("m", "n"), READ["infinity"].isoformat())
    listed = {row["id"]: row for row in documents(run("list", "--json"))}
    assert set(listed) == {good, *map(str, odd)}
    for id, at in odd.items():
        assert listed[str(id)]["scheduled_at"] == READ[at].isoformat()
        assert str(id) in well(run, "show", id).stdout
    ages = {row["lane"]: row["oldest_seconds"] for row in documents(run("status", "--json"))[0]["queue"]}
    assert ages["mine/0"] is None  # created at infinity
    assert ages["openai/gpt-6-luna"] is not None


def test_no_label_or_message_reaches_the_terminal_as_a_command(run: Run, queue: Queue, good: str) -> None:
    labels = dict.fromkeys(("tenant_id", "agent_id", "task_type", "model", "error_code", "dedupe_key"), PAINT)
    id = odd_request(
        queue, lane=PAINT, provider="mine", error_message=PAINT, wait_reason="backoff", context={PAINT: PAINT},
        messages=[{"role": PAINT, "content": PAINT}], **labels,
    )  # fmt: skip
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused, block_message) VALUES (%s, %s, 'm', true, %s)",
        f"{PAINT}/m", PAINT, PAINT,
    )  # fmt: skip
    queue.run("INSERT INTO llm_tenants (tenant_id) VALUES (%s)", PAINT)
    queue.run(
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('tenant', %s, 'day', 1)", PAINT
    )
    queue.run("INSERT INTO llm_routes (task_type, candidates, note) VALUES (%s, '{p/m}', %s)", PAINT, PAINT)
    queue.run(
        "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, source) VALUES (%s, 'm', now(), 1, %s)",
        PAINT, PAINT,
    )  # fmt: skip
    queue.run(
        "INSERT INTO llm_usage_daily (day, tenant_id, agent_id, task_type, kind, provider, model, calls, unpriced_calls)"
        " VALUES ((llmreq_now() AT TIME ZONE 'UTC')::date, %s, %s, %s, 'chat', %s, 'm', 1, 1)",
        *[PAINT] * 4,
    )
    for arguments in (*LISTS, ["show", id], ["token-usage"]):
        shown = well(run, *arguments)
        assert not set(shown.output) & set(
            PAINT.replace("[2J", "").replace("]0;owned", "").replace("31m", "")
        )
    assert documents(run("show", id, "--json"))[0]["tenant_id"] == PAINT  # for machines it is exact


def test_a_message_of_a_megabyte_is_cut_for_people_and_whole_for_machines(run: Run, queue: Queue) -> None:
    long = "x" * 1_000_000
    id = odd_request(
        queue, error_message=long, error_code="internal", wait_reason="backoff", context={"a": long}
    )
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused, block_message) VALUES ('mine/p', 'mine', 'p', true, %s)",
        long,
    )
    queue.worker("mine")
    for arguments in (["list"], ["status"], ["limits", "list"], ["doctor"], ["show", id]):
        assert len(well(run, *arguments).output) < 20_000
    assert documents(run("show", id, "--json"))[0]["error_message"] == long


@pytest.mark.parametrize(
    "columns",
    [
        {"messages": '"a text"'},
        {"messages": "[1, null, {}]", "context": "3", "params": "[1]"},
        {"merge_report": "[1]", "pages": 3, "status": "waiting"},
        {"validation_errors": '"x"', "parsed_response": "[[]]", "error_details": "1"},
        {"lane": None, "provider": None, "model": None},
        {"lane": "", "tenant_id": "", "task_type": ""},
        {"lane": "noslash", "wait_reason": "backoff", "error_message": None},
        {"cost_usd": "NaN"},
        {"cost_usd": "Infinity", "hold_usd": "-Infinity"},
        {"params": '{"m": ' + "[" * 700 + "]" * 700 + "}"},
        {"context": '{"m": ' + "[" * 3000 + "]" * 3000 + "}"},
        {"params": '{"seed": 1e5000}'},
        {"params": '{"seed": ' + "9" * 6000 + "}"},
    ],
    ids=lambda columns: ", ".join(columns),
)
def test_a_row_of_another_shape_is_listed_and_shown(
    run: Run, queue: Queue, good: str, columns: dict[str, Any]
) -> None:
    id = odd_request(queue, **columns)
    for arguments in (["list"], ["show", id], ["status"]):
        well(run, *arguments)
    assert {row["id"] for row in documents(run("list", "--json"))} == {good, str(id)}
    (row,) = documents(run("show", id, "--json"))
    for name, value in columns.items():
        if isinstance(value, str) and value.startswith(("[", '"')):
            assert row[name] == json.loads(value)


def test_sums_that_are_no_number_are_unknown(run: Run, queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_usage_daily (day, tenant_id, agent_id, task_type, kind, provider, model, calls, cost_usd)"
        " VALUES ((llmreq_now() AT TIME ZONE 'UTC')::date, 't', 'a', 'g', 'chat', 'p', 'm', 1, 'NaN')"
    )
    assert "$NaN" in well(run, "status").stdout
    assert "$NaN" in well(run, "token-usage").stdout
    (status,) = documents(run("status", "--json"))
    assert (status["spend_usd"], status["spend"][0]["cost_usd"]) == (None, None)


def test_status_shows_what_matters_most_and_counts_the_rest(run: Run, queue: Queue) -> None:
    unguarded(
        queue,
        "INSERT INTO llm_requests (lane, provider, model, content)"
        " SELECT format('p/%%s', n), 'p', n::text, 'x' FROM generate_series(1, 60) n, generate_series(1, n)",
    )
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused)"
        " SELECT format('p/%%s', n), 'p', n::text, true FROM generate_series(1, 50) n"
    )
    queue.worker("p")
    queue.run(
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd)"
        " SELECT 'tenant', n::text, 'day', 1 FROM generate_series(1, 300) n"
    )
    queue.run(
        "UPDATE llm_budgets SET spent_usd = 0.9, period_start = date_trunc('day', llmreq_now(), 'UTC') WHERE subject = '123'"
    )
    shown = well(run, "status").stdout
    assert "… and 40 more" in shown
    assert "Open: 1,830 pending" in shown
    (status,) = documents(run("status", "--json", "--limit", "5"))
    assert [row["lane"] for row in status["queue"]] == ["p/60", "p/59", "p/58", "p/57", "p/56"]
    assert [row["lane"] for row in status["blocked"]] == ["p/50", "p/49", "p/48", "p/47", "p/46"]
    assert status["budgets"][0]["budget"] == "tenant:123"
    assert status["more"] == {"queue": 55, "waiting": 45, "blocked": 45, "unpriced": 55, "budgets": 295}
    assert status["open"] == {"pending": 1830}
    assert len(documents(run("budgets", "list", "--json"))[0]["budgets"]) == 300
    assert "… and 100 more" in well(run, "budgets", "list").stdout
    assert "… and 47 more" in well(run, "limits", "list", "--limit", "3").stdout
    doctor = well(run, "doctor").stdout
    assert "30 more are closed" in doctor
    assert "40 more have no price" in doctor
