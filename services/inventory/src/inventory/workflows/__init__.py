"""One module a workflow.

None names a versioning behaviour: a server refuses the tasks of a workflow that does while its worker runs without
worker versioning. All of them last seconds, so the default of a versioned worker should be PINNED.
"""
