"""The tables as SQLAlchemy metadata: what Python code and readers look columns up in.

The migrations are what makes them; a test compares the two and fails on any difference.
"""

from llmreq.database.schema import agents, governor, money, queue
from llmreq.database.schema.columns import metadata

__all__ = ["agents", "governor", "metadata", "money", "queue"]
