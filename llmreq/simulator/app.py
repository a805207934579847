"""The simulated provider: reads a question, plays its fault, answers in the vendor's shape and books the call."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from llmreq.simulator import faults, question, shapes
from llmreq.simulator.bill import Bill, Call, Tokens
from llmreq.simulator.embedding import embed
from llmreq.simulator.faults import Fault
from llmreq.simulator.question import Question, RefusedError
from llmreq.simulator.rates import Rates
from llmreq.simulator.said import said, shape
from llmreq.simulator.server import Reply, Request

BAD_KEY = "sk-bad"
CONVERSATIONS_KEPT = 100_000

_ERRORS = {
    "http_400",
    "http_401",
    "http_403",
    "http_404",
    "http_429",
    "quota",
    "http_500",
    "http_503",
    "http_529",
    "context_overflow",
}


class App:
    """Holds the configuration, the scripts' counters and the bill."""

    def __init__(self, bill: Bill, *, latency_ms: str = "0", seed: int = 0) -> None:
        self.bill = bill
        self._rates = Rates()
        self._chance = random.Random(seed)
        self._latency = latency_ms
        self._fault_rates: Mapping[str, Any] = {}
        self._outage = False
        self._calls_of: Counter[str] = Counter()
        self._count = 0
        self._in_flight = 0
        self._most_in_flight = 0

    async def handle(self, request: Request, connected: Callable[[], bool]) -> Reply:
        """Answer one HTTP request."""
        if request.path.startswith("/_sim/"):
            return self._control(request)
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            if request.path == "/v1/chat/completions" and request.method == "POST":
                return await self._call("openai", request, connected)
            if request.path == "/v1/messages" and request.method == "POST":
                return await self._call("anthropic", request, connected)
            if request.path == "/v1/embeddings" and request.method == "POST":
                return await self._call("openai", request, connected)
            if request.path == "/v1/models":
                return _json(
                    200,
                    {
                        "object": "list",
                        "data": [{"id": name, "object": "model"} for name in self.bill.prices],
                    },
                )
            return _json(
                404,
                {
                    "error": {
                        "message": f"Invalid URL ({request.method} {request.path})",
                        "type": "invalid_request_error",
                    }
                },
            )
        finally:
            self._in_flight -= 1

    async def _call(self, wire: str, request: Request, connected: Callable[[], bool]) -> Reply:
        self._count += 1
        id = f"sim{self._count:08d}"
        call = Call(id, wire, "?", time.time())
        try:
            reply = await self._answer(wire, request, call)
        except asyncio.CancelledError:
            call.delivered = False
            call.fault = "client_left"
            call.billed = False
            self.bill.book(call)
            raise
        call.status = reply.status
        call.delivered = connected() and reply.cut_after is None and not reply.reset
        self.bill.book(call)
        name = "x-request-id" if wire == "openai" else "request-id"
        limits = self._rates.headers(wire, call.model, time.time())
        return Reply(
            reply.status,
            reply.body,
            ((name, f"req_{id}"), *limits, *reply.headers),
            reply.content_type,
            reply.cut_after,
            reply.reset,
        )

    async def _answer(self, wire: str, request: Request, call: Call) -> Reply:
        if (refused := self._refuse_key(wire, request, call.id)) is not None:
            return refused
        try:
            body = orjson.loads(request.body)
            if request.path == "/v1/embeddings":
                asked = question.read_embedding(body)
            elif wire == "openai":
                asked = question.read_openai(body)
            else:
                version = request.headers.get("anthropic-version", "")
                if not version:
                    raise RefusedError("anthropic-version: header is required")
                asked = question.read_anthropic(body, version)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            return _json(
                *shapes.error(wire, "http_400", call.id, f"We could not parse your request: {error!r}")
            )
        except RefusedError as error:
            return _json(*shapes.error(wire, "http_400", call.id, str(error)))
        call.model = asked.model
        if asked.model.startswith("nosuch"):
            return _json(*shapes.error(wire, "http_404", call.id))
        fault = Fault("http_503") if self._outage else self._fault(asked)
        call.fault = fault.name
        tokens = Tokens(input=math.ceil(asked.prompt_bytes / 4))
        wait = self._rates.admit(asked.model, tokens.input, asked.output_cap, time.time())
        if wait is not None:
            after = (("retry-after", str(math.ceil(wait))), ("retry-after-ms", str(math.ceil(wait * 1000))))
            status, body = shapes.error(wire, "http_429", call.id)
            return _json(status, body, after)
        await asyncio.sleep(self._latency_seconds(fault))
        return self._play(wire, asked, fault, tokens, call)

    def _refuse_key(self, wire: str, request: Request, id: str) -> Reply | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        x_api_key = request.headers.get("x-api-key", "") if wire == "anthropic" else ""
        if bearer and x_api_key:  # Anthropic takes either, never both
            return _json(*shapes.error(wire, "http_401", id, "send x-api-key or Authorization, not both"))
        header = bearer or x_api_key
        if not header or header.startswith(BAD_KEY):
            # The vendors repeat a part of a wrong key; so does this, to prove that ours never reaches a row.
            message = (
                f"Incorrect API key provided: {header}."
                if wire == "openai"
                else f"invalid x-api-key {header}"
            )
            return _json(*shapes.error(wire, "http_401", id, message))
        return None

    def _fault(self, asked: Question) -> Fault:
        marked = faults.marker(asked.texts)
        if marked is None:
            return faults.random_fault(self._fault_rates, self._chance) if self._fault_rates else Fault()
        key = hashlib.sha256(asked.conversation.encode("utf-8", "replace")).hexdigest()
        nth = self._calls_of[key]
        if len(self._calls_of) < CONVERSATIONS_KEPT:
            self._calls_of[key] += 1
        return faults.fault_of(marked, nth)

    def _latency_seconds(self, fault: Fault) -> float:
        if fault.name == "hang":
            return 86_400.0
        if fault.name == "slow":
            return fault.number("ms", 1000) / 1000
        kind, *numbers = self._latency.split(":")
        if kind == "uniform":
            return self._chance.uniform(float(numbers[0]), float(numbers[1])) / 1000
        if kind == "lognormal":
            return self._chance.lognormvariate(math.log(float(numbers[0])), float(numbers[1])) / 1000
        return float(kind) / 1000

    def _play(self, wire: str, asked: Question, fault: Fault, tokens: Tokens, call: Call) -> Reply:
        if fault.name in _ERRORS:
            headers = _retry_after(fault)
            status, body = shapes.error(wire, fault.name, call.id)
            return _json(status, body, headers)
        if fault.name == "http_502_html":
            return Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html")
        call.billed = True
        if asked.embedding is not None and fault.name == "ok":
            call.tokens = tokens
            return _json(200, embed(asked.model, asked.embedding, tokens.input))
        if fault.name == "non_json_200":
            call.billed = False
            return Reply(
                200, b"<html>Welcome to the hotel's network. Please log in.</html>", content_type="text/html"
            )
        text, tool, finish, refusal = said(asked, fault)
        if fault.name == "cached":
            tokens.cache_read, tokens.cache_write_5m = tokens.input // 2, tokens.input // 8
            tokens.cache_write_1h = tokens.input // 16 if wire == "anthropic" else 0
            tokens.input -= tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
            tokens.reasoning = 7
        tokens.output = (
            math.ceil(len((text or "").encode("utf-8", "replace")) / 4)
            + tokens.reasoning
            + (12 if tool else 0)
        )
        call.tokens = tokens
        self._rates.settle(asked.model, asked.output_cap, tokens.output)
        body = shape(wire, call, asked, text, tool, finish, refusal)
        if fault.name == "refusal" and wire == "anthropic":
            call.billed = False
        if fault.name == "reset":
            return Reply(200, b"", reset=True)
        raw = orjson.dumps(body)
        return Reply(200, raw, cut_after=len(raw) // 2 if fault.name == "cut" else None)

    def _control(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix("/_sim/"):
            case "GET", "ledger":
                return _json(
                    200,
                    {
                        **self.bill.totals(),
                        "refused_calls": self._rates.refused,
                        "admitted": self._rates.admitted,
                    },
                )
            case "GET", "calls":
                return _json(
                    200, [asdict(call) for call in self.bill.calls]
                )  # the last ones, where there were many
            case "GET", "state":
                return _json(200, {"in_flight": self._in_flight, "most_in_flight": self._most_in_flight})
            case "POST", "config":
                return self._configure(orjson.loads(request.body))
            case "POST", "reset":
                self.bill.reset()
                self._rates.reset()
                self._calls_of.clear()
                self._most_in_flight = self._in_flight
                return _json(200, {})
        return _json(404, {"error": "no such control"})

    def _configure(self, given: Mapping[str, Any]) -> Reply:
        if unknown := given.keys() - {"latency_ms", "faults", "limits", "outage", "prices", "seed"}:
            return _json(400, {"error": f"unknown setting {min(unknown)}"})
        if "latency_ms" in given:
            self._latency = str(given["latency_ms"])
        if "seed" in given:
            self._chance.seed(given["seed"])
        if "faults" in given:
            self._fault_rates = given["faults"]
        if "outage" in given:
            self._outage = bool(given["outage"])
        if "limits" in given:
            self._rates.configure(given["limits"], time.time())
        if "prices" in given:
            self.bill.prices.update(given["prices"])
        return _json(200, {})


def _retry_after(fault: Fault) -> tuple[tuple[str, str], ...]:
    headers = []
    if "retry_after" in fault.settings:
        headers.append(("retry-after", fault.settings["retry_after"]))
    if "retry_after_ms" in fault.settings:
        headers.append(("retry-after-ms", fault.settings["retry_after_ms"]))
    return tuple(headers)


def _json(status: int, body: Any, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, orjson.dumps(body), headers)
