"""Inventory's schema, in steps that only go forward."""
