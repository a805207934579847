from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmreq.wire.schema_dialects import Compiled, for_anthropic, for_openai


@pytest.mark.parametrize("dialect", [for_openai, for_anthropic])
def test_notes_to_ourselves_are_not_sent(dialect: Callable[[Any], Compiled]) -> None:
    def schema(**notes: Any) -> dict[str, Any]:
        counts = {"type": "integer", **notes}
        return {
            "type": "object",
            "properties": {
                "x-count": counts,
                "kinds": {"type": "array", "items": {"enum": ["x-a"]}, **notes},
            },
            "required": ["x-count", "kinds"],
            "additionalProperties": False,
        }

    assert dialect(schema(**{"x-merge": "sum", "x-key": ["a"]})) == dialect(schema())
    assert dialect(schema()).schema == schema()
