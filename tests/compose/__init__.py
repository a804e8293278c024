"""Waybill in containers: what its files say, and what becomes of it."""
