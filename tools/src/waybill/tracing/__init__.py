"""Traces that processes kept in files: read, put together, drawn."""
