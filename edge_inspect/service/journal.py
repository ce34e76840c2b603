"""Log lines for journald: each carries its level, so that `journalctl -p warning` shows alarms and nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TextIO

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class JournalFormatter(logging.Formatter):
    """Begins each line with `<priority>`, as sd-daemon(3) has it; a trace is many lines of one priority."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of one record."""
        return with_priority(super().format(record), record.levelno)


def with_priority(text: str, level: int) -> str:
    """Each line of a text with the priority of a level of `logging`."""
    priority = next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to the stream goes to journald: systemd names device and inode of its socket."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
