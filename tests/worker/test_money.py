"""Money through real workers: a cap with answers of any price, degrading, warnings, our bill beside the provider's."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Table, check_bill, until

ASK = [{"role": "user", "content": "Name three rivers."}]


def test_a_cap_holds_while_answers_cost_anything_and_the_rest_runs_once_it_is_raised(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    table.all(
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('tenant', 'acme', 'day', 0.02)"
    )
    table.all(
        "INSERT INTO llm_requests (tenant_id, provider, model, messages, params)"
        " SELECT 'acme', 'openai', 'gpt-6-luna', jsonb_build_array(jsonb_build_object('role', 'user', 'content',"
        " 'call ' || n || '[[sim:huge,size=' || 100 + n * 7919 %% 2000 || ']]')), '{\"max_output_tokens\": 600}'"
        " FROM generate_series(1, 200) n"
    )
    other = table.insert(tenant_id="other", provider="openai", model="gpt-6-luna", messages=ASK)
    fleet.start("--concurrency", "64")
    spent = "SELECT coalesce(sum(cost_usd), 0) AS usd FROM llm_attempts WHERE tenant_id = 'acme'"

    def rests() -> bool:
        assert table.one(spent)["usd"] <= Decimal("0.02")
        return table.count("status = 'processing'") == 0 and table.count(
            "wait_reason = 'budget'"
        ) == table.count("status = 'pending'")

    until("the budget to be used", lambda: table.one(spent)["usd"] > Decimal("0.019") and rests())
    assert table.one(spent)["usd"] >= Decimal("0.019"), "95 % of it is used"
    assert table.request(other)["status"] == "completed"
    assert table.count("status = 'pending'") > 0
    table.all("UPDATE llm_budgets SET limit_usd = 1")
    until("the rest to run", lambda: table.count("status <> 'completed'") == 0)
    check_bill(table, simulator)


def test_degrade_completes_on_the_local_tier_at_no_cost(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    table.all(
        "INSERT INTO llm_budgets (scope, period, limit_usd, on_exhausted) VALUES ('all', 'day', 0, 'degrade')"
    )
    row = table.insert(
        provider="openai", model="gpt-6-luna", task_type="keywords", content="The crane on the quay is stuck."
    )
    assert fleet.drain() == 0
    done = table.request(row)
    assert (done["status"], done["lane"], done["cost_usd"]) == ("completed", "local/rules", 0)
    assert simulator.ledger()["calls"] == 0


def test_what_never_fits_fails_at_once_and_a_drain_ends_beside_what_waits(table: Table, fleet: Fleet) -> None:
    table.all(
        "INSERT INTO llm_budgets (scope, subject, period, limit_tokens) VALUES ('tenant', 'a', 'day', 100)"
    )
    row = table.insert(tenant_id="a", provider="openai", model="gpt-6-luna", messages=ASK)
    assert fleet.drain() == 0
    assert table.request(row)["error_code"] == "budget_exceeded"
    table.all(
        "INSERT INTO llm_budgets (scope, subject, period, limit_tokens) VALUES ('tenant', 'b', 'day', 6000)"
    )
    first = table.insert(
        tenant_id="b", provider="openai", model="gpt-6-luna", content="[[sim:huge,size=20000]]"
    )
    assert fleet.drain() == 0
    second = table.insert(tenant_id="b", provider="openai", model="gpt-6-luna", messages=ASK)
    assert table.request(first)["status"] == "completed"
    assert fleet.drain() == 1, "stuck: the budget has no room for it"
    assert table.request(second)["wait_reason"] == "budget"
    assert "the budget of tenant b" in fleet.logs()


def test_a_threshold_is_one_line_in_the_fleets_log(table: Table, fleet: Fleet) -> None:
    table.all(
        "INSERT INTO llm_budgets (scope, period, limit_usd, warn_at) VALUES ('all', 'day', 1, '{0.000001}')"
    )
    for _ in range(5):
        table.insert(provider="openai", model="gpt-6-luna", messages=ASK)
    fleet.start()
    fleet.start()
    until("the warning", lambda: "budget_warning" in fleet.logs())
    until("all to end", lambda: table.count("status <> 'completed'") == 0)
    assert fleet.logs().count("budget_warning") == 1


@pytest.mark.parametrize("model", ["gpt-6-luna", "claude-haiku-4-5"])
def test_cached_and_reasoning_tokens_are_priced_in_their_own_buckets(
    table: Table, fleet: Fleet, simulator: Simulator, model: str
) -> None:
    table.all(
        "INSERT INTO llm_requests (model, content) SELECT %s, 'call ' || n || repeat(' word', 50) || '[[sim:cached]]'"
        " FROM generate_series(1, 20) n",
        model,
    )
    assert fleet.drain() == 0
    total = table.one("SELECT sum(cost_usd) AS usd, sum(cache_read_tokens) AS cached FROM llm_attempts")
    assert total["cached"] > 0
    assert total["usd"] == Decimal(simulator.ledger()["cost_usd"])
    check_bill(table, simulator)
