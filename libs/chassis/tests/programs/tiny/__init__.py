"""A service as small as one can be, for tests that need a real process."""
