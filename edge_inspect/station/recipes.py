"""Which recipe a job is, its engine opened and its acceptance written down, beside the line: after the swap no part waits for a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_inspect.acceptance import ACCEPTANCE_FILE, write_acceptance
from edge_inspect.config import Recipe, load_recipe
from edge_inspect.config import Station as Settings
from edge_inspect.durable import FILE_MODE
from edge_inspect.errors import ConfigError, PlcError
from edge_inspect.inspector import Inspector, open_inspector

AGAIN = -1
"""No job of a PLC: the one that serves, whose files have changed."""


class Recipes:
    """The recipes of one station.

    Attributes:
        unwritten: why the acceptance of what was opened last is not written down, or "".
    """

    def __init__(self, settings: Settings, *, serves: Callable[[], int]) -> None:
        """Nothing is opened yet; `serves` tells the job that serves now, 0 for a recipe that is in none."""
        self._settings = settings
        self._serves = serves
        self.unwritten = ""

    def have_changed(self, serving: Recipe) -> bool:
        """Whether another recipe stands in the file of what serves; one that cannot be read does: opening it says why."""
        try:
            return load_recipe(self._file(AGAIN)) != serving
        except ConfigError:
            return True

    @contextmanager
    def open(self, job: int) -> Iterator[Inspector]:
        """Open a job.

        Raises:
            PlcError: the station file has no such job.
            EdgeInspectError: as `open_inspector`.
        """
        recipe, settings = self._file(job), self._settings
        required, key = settings.acceptance == "required", settings.public_key
        with open_inspector(recipe, settings.runtime, base=recipe.parent, accepted_before=required, public_key=key) as inspector:
            self.write_acceptance(inspector)
            yield inspector

    def write_acceptance(self, inspector: Inspector) -> None:
        """Write down on what the engine was accepted as it was opened."""
        try:
            write_acceptance(self._settings.data / ACCEPTANCE_FILE, inspector.binding, inspector.acceptance, mode=FILE_MODE)
        except ConfigError as error:
            self.unwritten = str(error)
        else:
            self.unwritten = ""

    def _file(self, job: int) -> Path:
        jobs = self._settings.jobs
        if job == AGAIN:
            return jobs.get(self._serves(), self._settings.recipe)
        if job not in jobs:
            known = ", ".join(map(str, sorted(jobs))) or "none"
            raise PlcError(f"job {job} is not in the station file, which has {known}; add it to `jobs`")
        return jobs[job]
