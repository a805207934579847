"""Durable, governed LLM calls in plain Postgres.

>>> from llmreq import Client
>>> with Client() as client:
...     id = client.enqueue(messages=[{"role": "user", "content": "hello"}])
...     print(client.wait(id).response)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmreq.errors import (
        DatabaseUnavailableError,
        ErrorCode,
        InvalidRequestError,
        InvalidSchemaError,
        LlmreqError,
        RequestFailedError,
        SettingsError,
    )
    from llmreq.producer.async_client import AsyncClient
    from llmreq.producer.client import Client
    from llmreq.producer.columns import NewRequest
    from llmreq.producer.request import Request
    from llmreq.producer.tool_loop import ToolRun

__all__ = [
    "AsyncClient",
    "Client",
    "DatabaseUnavailableError",
    "ErrorCode",
    "InvalidRequestError",
    "InvalidSchemaError",
    "LlmreqError",
    "NewRequest",
    "Request",
    "RequestFailedError",
    "SettingsError",
    "ToolRun",
    "__version__",
]

_HOMES = {
    "AsyncClient": "llmreq.producer.async_client",
    "Client": "llmreq.producer.client",
    "NewRequest": "llmreq.producer.columns",
    "Request": "llmreq.producer.request",
    "ToolRun": "llmreq.producer.tool_loop",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import llmreq` alone costs nothing.
    if name not in __all__:
        raise AttributeError(f"module 'llmreq' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "llmreq.errors")), name)
