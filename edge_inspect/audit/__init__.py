"""The audit record: who asked the station for what, when, and what became of it. Append-only, each line chained to the one before.

`entry` is one line, `lines` are the files as they stand, `chain` appends to them, `crowd` keeps a flood of the same out, `record` is the
thread that writes, `reading` verifies, `challenges` looks for what another program on this machine has done.
"""

from edge_inspect.audit.reading import Found, last_entries, verify
from edge_inspect.audit.record import AUDIT_FOLDER, AuditRecord, open_audit, shown

__all__ = ["AUDIT_FOLDER", "AuditRecord", "Found", "last_entries", "open_audit", "shown", "verify"]
