"""The simulator's limits, books and switches."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from llmreq.simulator.bill import Bill, Call, Tokens
from llmreq.simulator.process import Simulator
from llmreq.simulator.rates import Rates

MODEL = "gpt-6-luna"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def ask(simulator: Simulator, text: str = "hi", cap: int = 10) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_completion_tokens": cap}
    url = f"{simulator.openai_base_url}/chat/completions"
    return httpx.post(url, json=body, headers={"authorization": "Bearer sk-x"}, trust_env=False)


def test_a_bucket_gives_out_its_rate_and_a_refused_call_takes_nothing() -> None:
    rates = Rates()
    rates.configure({MODEL: {"rpm": 600, "tpm": 60_000, "burst_seconds": 1}}, 0.0)
    assert [rates.admit(MODEL, 10, 10, 0.0) is None for _ in range(12)] == [True] * 10 + [False] * 2
    assert rates.admit(MODEL, 10, 10, 0.05) == pytest.approx(0.05)
    assert rates.admit(MODEL, 10, 10, 0.1001) is None
    assert rates.admit(MODEL, 2000, 0, 3600) is not None  # more than it ever holds
    assert (rates.refused, rates.admitted[MODEL]) == (4, {"requests": 11, "tokens": 220})


def test_output_tokens_are_held_by_the_cap_and_corrected() -> None:
    rates = Rates()
    rates.configure({MODEL: {"otpm": 6000, "burst_seconds": 10}}, 0.0)
    assert rates.admit(MODEL, 999, 100, 0.0) is None
    assert rates.admit(MODEL, 999, 1, 0.0) is not None
    rates.settle(MODEL, 100, 40)
    assert rates.admit(MODEL, 999, 60, 0.0) is None


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("openai", {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "9"}),
        (
            "anthropic",
            {"anthropic-ratelimit-requests-limit": "600", "anthropic-ratelimit-requests-remaining": "9"},
        ),
    ],
)
def test_every_answer_carries_the_vendors_headers(wire: str, expected: dict[str, str]) -> None:
    rates = Rates()
    rates.configure({MODEL: {"rpm": 600}}, 0.0)
    rates.admit(MODEL, 1, 1, 0.0)
    headers = dict(rates.headers(wire, MODEL, 0.0))
    assert expected.items() <= headers.items()
    reset = next(value for name, value in headers.items() if "reset" in name)
    assert reset in ("59.100s", "1970-01-01T00:00:59Z")


def test_a_limit_is_enforced_over_http_with_a_retry_after(simulator: Simulator) -> None:
    simulator.configure(limits={MODEL: {"rpm": 60, "burst_seconds": 1}})
    simulator.reset()
    answers = [ask(simulator) for _ in range(3)]
    simulator.configure(limits={})
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[1].headers["retry-after"] == "1"
    assert 0 < int(answers[1].headers["retry-after-ms"]) <= 1000
    assert simulator.ledger()["refused_calls"] == 2


def test_the_bill_is_the_sum_of_the_calls(simulator: Simulator) -> None:
    simulator.reset()
    for text in ("a", "b" * 500, "[[sim:cached]]" + "c" * 300, "[[sim:http_500]]", "[[sim:refusal]]"):
        ask(simulator, text)
    ledger, calls = simulator.ledger(), simulator.calls()
    assert Decimal(ledger["cost_usd"]) == sum(Decimal(call["cost_usd"]) for call in calls) > 0
    assert ledger["calls"] == len(calls) == 5
    assert ledger["by_status"] == {"200": 4, "500": 1}


def test_sums_are_over_all_calls_though_only_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmreq.simulator.bill.CALLS_KEPT", 10)
    bill = Bill()
    for n in range(25):
        bill.book(Call(str(n), "openai", MODEL, 0.0, 200, tokens=Tokens(input=1_000_000), billed=True))
    assert [call.id for call in bill.calls] == [str(n) for n in range(15, 25)]
    assert (bill.totals()["calls"], Decimal(bill.totals()["cost_usd"])) == (25, Decimal("2.5"))


def test_an_outage_is_a_switch(simulator: Simulator) -> None:
    simulator.configure(outage=True)
    during = ask(simulator).status_code
    simulator.configure(outage=False)
    assert (during, ask(simulator).status_code) == (503, 200)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "text-embedding-3-small", "input": []},
        {"model": "text-embedding-3-small", "input": ["a", ""]},
        {"model": "text-embedding-3-small", "input": [[1, 2]]},
        {"input": "a"},
    ],
)
def test_what_no_embedding_can_be_made_of_is_refused(simulator: Simulator, body: dict[str, Any]) -> None:
    url = f"{simulator.openai_base_url}/embeddings"
    answer = httpx.post(url, json=body, headers={"authorization": "Bearer sk-x"}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_an_unknown_setting_is_named(simulator: Simulator) -> None:
    url = f"{simulator.anthropic_base_url}/_sim/config"
    answer = httpx.post(url, json={"latncy_ms": 1}, trust_env=False)
    assert (answer.status_code, answer.json()) == (400, {"error": "unknown setting latncy_ms"})
