"""A day at the shop: sample orders of every kind, on a stack of this machine."""
