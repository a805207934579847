"""Stored agents as values: reading a definition, telling what a new version changes, and saying it to a model."""
