"""Plumbing that every service shares. No word of any domain stands here."""
