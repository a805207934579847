"""A caller with its real sender among hostile answers and rows; prints how long its event loop stood still, as JSON.

`python -m tests.worker.stalls HOSTILE_URL FINE_URL SCENE`: a process of its own, so that its memory is its own as well.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
import uvloop

from llmreq.wire.provider import Provider
from llmreq.worker.caller import Caller
from llmreq.worker.engine import Claim
from llmreq.worker.large_json import LargeJson
from llmreq.worker.report import Report
from llmreq.worker.sender import open_sender
from tests.worker.test_checking import claim

BEAT_SECONDS = 0.005


def asked(text: str, **columns: Any) -> Claim:
    return claim(id=uuid4(), messages=[{"role": "user", "content": text}], timeout_seconds=60, **columns)


def large_schema() -> bytes:
    """Half a megabyte that is valid and slow to compile."""
    rule = {"type": "string", "pattern": "^\\p{L}{1,5}$"}
    return json.dumps({"type": "object", "properties": {f"p{n}": rule for n in range(9_000)}}).encode()


def scene(name: str) -> list[Claim]:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    tools = [{"name": "f", "parameters": schema}]
    match name:
        case "answers":
            texts = [
                "large_json",
                "large_text",
                "wide_envelope",
                "deep",
                "numbers",
                "endless_names",
                "odd_refusal",
                "odd_tool",
            ]
            return [
                *(asked(f"<<{text}>>", lane=f"openai/{text}") for text in texts),
                asked("<<many_tool_calls>>", lane="openai/tools", tools=tools),
                asked("<<large_json>>", lane="openai/schema", response_schema={"items": {"required": ["z"]}}),
            ]
        case "rows":
            turns = json.dumps([{"role": "user", "content": "x" * 20}] * 500_000).encode()
            slow = LargeJson(large_schema())
            return [
                *(asked("hi", lane="openai/schema", response_schema=slow) for _ in range(20)),
                asked("hi", lane="openai/turns")._replace(messages=LargeJson(turns)),
                asked("hi", lane="openai/content")._replace(messages=None, content="word " * 10_000_000),
            ]
        case "costly":
            costly = {"items": {"allOf": [{"pattern": f"^(a|b|{n})*$"} for n in range(2_000)]}}
            return [asked("<<large_text>>", lane="openai/costly", response_schema=costly) for _ in range(2)]
    raise ValueError(name)


@dataclass
class Pulse:
    """How long the event loop stood still: by the clock, and by its own work (other processes' work is not its fault)."""

    longest_seconds: float = 0.0
    longest_work_seconds: float = 0.0
    beats: list[float] = field(default_factory=list)

    async def beat(self) -> None:
        while True:
            clock, work = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - clock - BEAT_SECONDS)
            self.longest_work_seconds = max(self.longest_work_seconds, time.thread_time() - work)


async def main(hostile_url: str, fine_url: str, name: str) -> dict[str, Any]:
    reports: dict[str, Report] = {}
    providers = {
        name: Provider(name, "openai", url, "sk-1")
        for name, url in (("openai", hostile_url), ("fine", fine_url))
    }
    caller = Caller(
        open_sender(),
        providers,
        lambda r: reports.__setitem__(str(r.id), r),
    )
    hostile = scene(name)
    lanes = {str(each.id): each.lane for each in hostile}
    sizes = sum(
        len(each.content or "") + len(each.messages.raw if isinstance(each.messages, LargeJson) else "")
        for each in hostile
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    while hostile:
        caller.start(hostile.pop())
    innocent = [asked("<<fine>>", provider="fine", lane="fine/m") for _ in range(200)]
    slowest = 0.0
    for each in innocent:  # a trickle beside the storm
        began = time.monotonic()
        caller.start(each)
        await caller._running[each.id, each.claim_seq].task
        slowest = max(slowest, time.monotonic() - began)
    await caller.idle()
    beating.cancel()
    await caller.checking.close()
    await caller.sender.close()
    outcomes = {id: orjson.loads(report.encoded) for id, report in reports.items()}
    return {
        "stall_seconds": pulse.longest_seconds,
        "work_seconds": pulse.longest_work_seconds,
        "slowest_innocent_seconds": slowest,
        "grown_megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "payload_megabytes": sizes / 2**20,
        "innocent": sorted({outcomes[str(each.id)]["outcome"] for each in innocent}),
        "hostile": sorted(
            [lane, outcomes[id]["outcome"], outcomes[id]["billed"]] for id, lane in lanes.items()
        ),
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(main(*sys.argv[1:]))))
