"""Shipping's workflows, one module each.

None names a versioning behaviour: a server refuses the tasks of a workflow that does while its worker runs without
worker versioning. With it, PINNED is right for all but TrackShipment, which lives for months: AUTO_UPGRADE.
A wave lasts hours at most, and a picker stays with its coordinator's version.
"""
