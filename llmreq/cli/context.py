"""What commands need before they can begin: settings, a database that is there and current, a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from llmreq.database.connection import connect, database_url
from llmreq.database.migrate import require_current
from llmreq.settings import load_settings

if TYPE_CHECKING:
    from llmreq.producer.client import Client


def ready_url() -> str:
    """The database in force, started if it is the embedded one. Raises unless its schema is current."""
    url = database_url(load_settings())
    require_current(url)
    return url


def ready_client() -> Client:
    """A client on the database in force."""
    from llmreq.producer.client import Client  # knows SQLAlchemy's connections, too: slow to load

    return Client(ready_url())


def ready_connection() -> psycopg.Connection[Any]:
    """A connection in autocommit to the database in force."""
    return connect(ready_url(), application_name="llmreq cli")


def resolve(client: Client, text: str) -> UUID:
    """The request that a whole id, or its first or last digits, name."""
    from llmreq.producer import steps

    return client.run(steps.find(text))
