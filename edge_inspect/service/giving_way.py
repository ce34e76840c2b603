"""Work beside a running station: where both want the processor, the station has it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""Of what is done beside a running station."""

_TASKS = Path("/proc/self/task")


def give_way() -> None:
    """Lower the priority of every thread of this process; those that are started later have that of the thread that starts them.

    `os.nice` would count for the calling thread alone, and an engine that is open has its threads already.
    """
    for task in _TASKS.iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            thread = int(task.name)
            os.setpriority(os.PRIO_PROCESS, thread, max(os.getpriority(os.PRIO_PROCESS, thread), NICENESS))
