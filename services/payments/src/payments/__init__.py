"""Payments and refunds through the card gateway."""
