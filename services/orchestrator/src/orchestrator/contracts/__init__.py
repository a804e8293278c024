"""Copies of the callees' contracts, byte for byte. `make contracts` refreshes them; a test holds them equal."""
