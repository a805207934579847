from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue


def answered(queue: Queue, outcome: str = "completed", **columns: object) -> None:
    queue.insert(max_attempts=1, **columns)
    worker = queue.worker()
    (claim,) = queue.claim(worker)
    queue.finish(worker, claim, outcome, input_tokens=1_200_000, output_tokens=0)


def test_a_budget_is_set_changed_listed_and_removed(run: Run, queue: Queue) -> None:
    (row,) = documents(
        run(
            "budgets", "set", "tenant:acme", "--usd", "50", "--per", "day", "--on-exhausted", "wait", "--json"
        )
    )
    assert (row["budget"], row["period"], row["limit_usd"], row["on_exhausted"]) == (
        "tenant:acme",
        "day",
        50,
        "wait",
    )
    run("budgets", "set", "tenant:acme", "--usd", "80", "--warn-at", "0.5", "--warn-at", "0.9")
    run("budgets", "set", "all", "--tokens", "2M", "--per", "month", "--on-exhausted", "degrade")
    shown = run("budgets", "list").stdout
    assert "$0 of $80" in shown
    assert "0 of 2M" in shown
    listed = {row["budget"]: row for row in documents(run("budgets", "list", "--json"))[0]["budgets"]}
    assert listed["tenant:acme"]["warn_at"] == [0.5, 0.9]
    assert listed["all"]["limit_tokens"] == 2_000_000
    run("budgets", "remove", "tenant:acme")
    assert queue.one("SELECT count(*) AS n FROM llm_budgets")["n"] == 1


def test_raising_a_budget_without_its_period_finds_its_only_one(run: Run, queue: Queue) -> None:
    run("budgets", "set", "all", "--usd", "1", "--per", "day")
    run("budgets", "set", "all", "--usd", "2")
    assert queue.one("SELECT limit_usd FROM llm_budgets")["limit_usd"] == 2
    run("budgets", "set", "all", "--usd", "3", "--per", "hour")
    refused = run("budgets", "set", "all", "--usd", "4")
    assert refused.exit_code == 1
    assert "say which with --per" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["set", "tenant", "--usd", "5", "--per", "day"], "which tenant? Name it: tenant:NAME"),
        (["set", "planet:earth", "--usd", "5", "--per", "day"], "a budget is named all, or SCOPE:NAME"),
        (["set", "all:x", "--usd", "5", "--per", "day"], "takes no name"),
        (["set", "all", "--usd", "5"], "say --per hour, day, month or total"),
        (["set", "all", "--usd=-5", "--per", "day"], "a budget in dollars must be from 0"),
        (["set", "run:7", "--usd", "5", "--per", "total"], "a run is named by its UUID"),
        (["set", "all", "--per", "day"], "say how much"),
        (["remove", "all"], "there is no budget all"),
        (["set", "all", "--usd", "1e13", "--per", "day"], "a budget in dollars must be from 0"),
        (["set", "all", "--usd", "1", "--per", "day", "--warn-at", "80"], "above 0 and at most 10"),
        (["ceiling", "0"], "must be above 0"),
    ],
)
def test_a_wrong_budget_is_refused_in_one_line(run: Run, arguments: list[str], says: str) -> None:
    done = run("budgets", *arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-inf", "5 dollars", ""])
@pytest.mark.parametrize(
    "arguments", [["set", "all", "--per", "day", "--usd"], ["warn", "run", "--usd"], ["ceiling"]]
)
def test_a_sum_that_is_no_number_is_wrong_usage(run: Run, arguments: list[str], text: str) -> None:
    done = (
        run("budgets", *arguments, "--", text)
        if arguments == ["ceiling"]
        else run("budgets", *arguments, text)
    )
    assert done.exit_code == 2
    assert "is no number" in done.stderr


def test_a_ceiling_and_warnings_are_shown_and_taken_away(run: Run, queue: Queue) -> None:
    run("budgets", "ceiling", "100")
    run("budgets", "warn", "request", "--usd", "0.5")
    (listed,) = documents(run("budgets", "list", "--json"))
    assert listed["settings"] == {"unpriced_usd_per_mtok": "100", "warn_request_usd": "0.5"}
    assert "warn request usd: 0.5" in run("budgets", "list").stdout
    run("budgets", "ceiling", "none")
    run("budgets", "warn", "request")
    assert queue.all("SELECT * FROM llmreq_meta WHERE key LIKE 'warn%%' OR key LIKE 'unpriced%%'") == []


def test_token_usage_tells_totals_per_model_and_operation_as_people_read_them(run: Run, queue: Queue) -> None:
    answered(queue, task_type="tagging", provider="openai", model="gpt-6-luna")
    answered(queue, "refused", task_type="tagging", provider="openai", model="gpt-6-luna")
    answered(queue, task_type="other", provider="openai", model="house-model")
    shown = run("token-usage").stdout
    assert "1.2M tokens ($0 " not in shown
    assert "2.4M tokens" in shown
    assert "openai/gpt-6-luna" in shown
    assert "tagging" in shown
    assert "failed calls: 1 ($" in shown
    assert "UNPRICED beside it: 1 calls, 1.2M tokens" in shown
    (document,) = documents(run("token-usage", "--json"))
    spent = queue.one("SELECT sum(cost_usd) AS usd, count(*) AS n FROM llm_attempts")
    assert Decimal(str(document["total"]["cost_usd"])) == spent["usd"]
    assert document["total"]["calls"] == spent["n"] == 3
    assert {row["name"] for row in document["by_operation"]} == {"tagging", "other"}


@pytest.mark.parametrize("by", ["model", "operation", "agent", "tenant", "run", "day"])
def test_usage_by_any_name_adds_up_to_the_same_and_is_csv_too(run: Run, queue: Queue, by: str) -> None:
    answered(queue, tenant_id="a", run_id="00000000-0000-0000-0000-000000000007")
    answered(queue, tenant_id="b", agent_id="reader")
    rows = list(csv.DictReader(io.StringIO(run("token-usage", "--by", by, "--csv").stdout)))
    assert sum(int(row["calls"]) for row in rows) == 2
    assert sum(int(row["total_tokens"]) for row in rows) == 2_400_000
    assert {row["by"] for row in rows} == {by}


def test_an_empty_book_reads_as_nothing_used(run: Run) -> None:
    assert "0 calls, 0 tokens ($0)" in run("token-usage").stdout
    assert documents(run("token-usage", "--json"))[0]["by_model"] == []


def test_cleanup_forgets_what_is_old_and_only_says_so_on_a_dry_run(run: Run, queue: Queue) -> None:
    answered(queue)
    queue.run(
        "UPDATE llm_requests SET created_at = now() - interval '100 days', completed_at = now() - interval '99 days'"
    )
    queue.insert()
    queue.run("UPDATE llm_requests SET created_at = now() - interval '100 days'")
    (dry,) = documents(run("cleanup", "--days", "90", "--dry-run", "--json"))
    assert dry["requests"] == 1
    assert queue.one("SELECT count(*) AS n FROM llm_requests")["n"] == 2
    assert "forgot 1 ended requests" in run("cleanup", "--days", "90").stderr
    assert queue.one("SELECT status FROM llm_requests")["status"] == "pending"
    assert queue.one("SELECT calls FROM llm_usage_daily")["calls"] == 1


def test_prices_are_corrected_from_a_day_on(run: Run, queue: Queue) -> None:
    answered(queue, provider="openai", model="house-model")
    run("prices", "set", "openai/house-model", "--input", "2", "--output", "4", "--valid-from", "2020-01-01")
    (dry,) = documents(run("prices", "reprice", "--from", "2020-01-01", "--dry-run", "--json"))
    (change,) = dry["changes"]
    assert (change["lane"], change["calls"], change["priced"], change["is_usd"]) == (
        "openai/house-model",
        1,
        1,
        2.4,
    )
    assert "openai/house-model" in run("prices", "reprice", "--from", "2020-01-01").stdout
    assert queue.one("SELECT cost_usd FROM llm_requests")["cost_usd"] == Decimal("2.4")
    assert "nothing" in run("prices", "reprice", "--from", "2020-01-01").stdout
