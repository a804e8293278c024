"""Orders: the parent workflows, and the HTTP API that customers use."""
