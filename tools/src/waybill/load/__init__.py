"""Load: how much a deployment does, how its pools scale, and what limits them."""
