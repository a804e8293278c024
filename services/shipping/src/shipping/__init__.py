"""Shipping: which carrier takes an order's parcels, and where they are."""
