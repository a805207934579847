"""Durable, governed LLM calls in plain Postgres."""

__version__ = "0.1.0"
