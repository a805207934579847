"""The baseline of `overhead`: the same HTTP calls from a bare aiohttp loop, and nothing else.

`python -m bench.bare URL CALLS IN_FLIGHT` prints {"seconds", "cpu_seconds"} of the calls alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import uvloop

SCHEMA = {
    "type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False,
}  # fmt: skip
BODY = json.dumps(
    {
        "model": "gpt-6-luna",
        "messages": [{"role": "user", "content": "x" * 900}],
        "max_completion_tokens": 4096,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }
).encode()
HEADERS = {"authorization": "Bearer sk-bench", "content-type": "application/json"}


async def _run(url: str, calls: int, in_flight: int) -> dict[str, float]:
    left = calls
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                async with session.post(url, data=BODY, headers=HEADERS) as response:
                    answer = json.loads(await response.read())
                    json.loads(answer["choices"][0]["message"]["content"])

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
