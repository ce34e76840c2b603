"""The job change of the handshake: one command at a time, shown as executing, completed or failed. Pure."""

from __future__ import annotations

import enum


class Asked(enum.Enum):
    """What an edge of Execute Command means."""

    NOTHING = "nothing"
    JOB = "job"
    REFUSED = "refused"


class JobCommand:
    """Execute Command and its answer.

    Attributes:
        executing: a job change was asked for and is not finished.
        completed: the last one was done; until the next edge of Execute Command.
        failed: the last one was not done, or one was refused; likewise.
        job: the job that runs.
    """

    def __init__(self) -> None:
        self.executing = self.completed = self.failed = False
        self.job = 0
        self._execute = False

    def write(self, execute: bool) -> Asked:
        """Take the level of Execute Command. While one executes, falling means nothing and rising is refused."""
        if execute is self._execute:
            return Asked.NOTHING
        self._execute = execute
        if self.executing:
            self.failed = self.failed or execute
            return Asked.REFUSED if execute else Asked.NOTHING
        self.completed = self.failed = False
        self.executing = execute
        return Asked.JOB if execute else Asked.NOTHING

    def answer(self, job: int, *, failed: bool) -> bool:
        """The job that runs now, and whether a command was waiting for that; unasked, it only names the job."""
        self.job = job
        if not self.executing:
            return False
        self.executing, self.completed, self.failed = False, not failed, failed
        return True
