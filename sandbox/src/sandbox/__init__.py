"""The world outside: a card gateway, three carriers and a mailbox, with fault switches."""
