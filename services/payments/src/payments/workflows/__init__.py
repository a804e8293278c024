"""Payments' workflows, one module each."""
