"""What inspects now, and how another takes its place: job, recipe, thresholds, golden parts. All of it between two parts.

Ready falls for as long as a swap takes, and for golden parts that are due; no part is held against a mixture of old and new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Event

from edge_inspect import events
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Inspection, PlcRequest, RequestKind
from edge_inspect.errors import OutputError
from edge_inspect.inspector import Inspector
from edge_inspect.protocols import Note, Plc
from edge_inspect.service.live import LiveStatus
from edge_inspect.station.challenge_gate import SHOWING, ChallengeGate
from edge_inspect.station.deeds import challenged, not_taken_over, reload_asked, serving, taken_over
from edge_inspect.station.delivery import Delivery
from edge_inspect.station.guarding import Guarding, NoticeBoard
from edge_inspect.station.jobs import JobChange
from edge_inspect.station.recipes import AGAIN, Recipes
from edge_inspect.station.thresholds_watch import Refused, ThresholdsWatch
from edge_inspect.thresholds import Thresholds

log = logging.getLogger(__name__)


class Serving:
    """The opened recipe of a station.

    Attributes:
        inspector: what inspects now.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        inspector: AbstractContextManager[Inspector],
        plc: Plc,
        delivery: Delivery,
        status: LiveStatus,
        note: Note,
        finish: Callable[[], None],
    ) -> None:
        """Open `inspector`; `finish` gives the parts that were accepted before Ready fell their verdict."""
        self._opened = ExitStack()
        self.inspector = self._opened.enter_context(inspector)
        self._plc = plc
        self._delivery = delivery
        self._status = status
        self._note = note
        self._finish = finish
        self._refused = Refused()
        self._watch = ThresholdsWatch(required=settings.acceptance == "required")
        self._challenge = ChallengeGate(settings.challenge, settings.data)
        self._board = NoticeBoard(plc)
        self._guarding = Guarding(wanted=settings.guard, delivery=delivery, board=self._board, note=note)
        self._job = next((job for job, recipe in settings.jobs.items() if recipe == settings.recipe), 0)
        self._beside = not settings.runtime.options.get("in_process", False)  # such an engine belongs to the thread that opened it
        self._recipes = Recipes(settings, serves=lambda: self._job)
        self._jobs = JobChange(self._recipes.open, beside=self._beside)

    def begin(self, *, reread: Event | None) -> None:
        """Say what serves; `reread` has the files looked at whenever it is set."""
        self._watch.asked = reread or Event()
        self._recipes.write_acceptance(self.inspector)
        self._show_what_serves()
        self._plc.answer(PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=time.monotonic_ns(), job=self._job), job=self._job)

    def ready(self) -> None:
        """Camera and outputs are up: parts may come, unless golden ones are due."""
        self._look_for_challenge(at_once=True)
        self._say_whether_ready()

    def look(self) -> None:
        """Between two parts: have files changed, is another engine ready, are golden parts due?"""
        self._read_again()
        self._take_next_job()
        self._guarding.look()
        self._look_for_challenge()

    def close(self) -> None:
        """Close what serves, and what was being opened beside it."""
        self._guarding.close()
        self._jobs.close()
        self._opened.close()

    # golden parts

    def told(self, inspection: Inspection) -> Inspection:
        """What PLC and records may be told of a part: FAULT while golden parts are due or shown."""
        return self._challenge.told(inspection)

    def delivered(self, inspection: Inspection) -> bool:
        """Hold a part that has been told against the calibration, or answer whoever shows golden parts.

        Returns:
            Whether it was a part of the line.
        """
        if self._challenge.gate.open:
            self._guarding.look_at(inspection)
            return True
        try:
            self._challenge.answer(inspection, self.inspector)
        except OutputError as error:
            self._delivery.alarm("challenge", str(error))
        return False

    def _look_for_challenge(self, *, at_once: bool = False) -> None:
        """Between two parts: have golden parts become due, are they being shown, or have they passed?

        Args:
            at_once: another engine or threshold serves from now on.
        """
        found, before = self._challenge.look(self.inspector, at_once=at_once), self._challenge.gate
        if before.open and not found.open and not at_once:
            self._plc.ready(False, found.due or SHOWING)
            self._finish()  # accepted before Ready fell: they get their verdict
        self._challenge.gate = found
        self._status.challenged(due=found.due, until=found.until)
        if (found.due, found.showing) != (before.due, before.showing):
            self._note(challenged(found))
            self._say_whether_ready()

    def _say_whether_ready(self) -> None:
        gate = self._challenge.gate
        self._delivery.alarm("challenge", SHOWING if gate.showing else gate.due)
        self._board.show(challenge_due=bool(gate.due), challenge_running=bool(gate.showing))
        self._plc.ready(not gate.due or bool(gate.showing), gate.due)
        self._status.state("challenge" if gate.showing else "challenge due" if gate.due else "ready")

    # another part on the same line

    def change(self, request: PlcRequest) -> None:
        """Open another job beside the line; it takes over between two parts."""
        if self._jobs.under_way:
            self._plc.answer(request, job=self._job, error="another job change is under way; ask again when it is done")
            return
        if not self._beside:
            self._plc.ready(False, f"job {request.job} is being opened")
        self._jobs.start(request)

    def _take_next_job(self) -> None:
        """Between two parts: the engine that is ready takes over, or the old one goes on and the PLC is told why."""
        job = self._jobs.take()
        if job is None:
            return
        if job.inspector is None:
            self._delivery.alarm("recipe" if job.request.job == AGAIN else "job", job.error)
            self._refused.recipe = self._refused.recipe or job.request.job == AGAIN
            self._plc.answer(job.request, job=self._job, error=job.error)
            self._say_whether_ready()
            return
        self._swap(job.request, job.inspector, job.opened)
        self._show_what_serves()

    def _swap(self, request: PlcRequest, inspector: Inspector, opened: ExitStack) -> None:
        started = time.monotonic_ns()
        self._plc.ready(False, "the recipe is read again" if request.job == AGAIN else f"job {request.job} takes over")
        self._finish()  # accepted before Ready fell: a part of the old job
        before = self._opened
        self._opened, self.inspector = opened, inspector
        self._delivery.decides(inspector)  # before Ready rises: the next trigger is its own
        self._job = self._job if request.job == AGAIN else request.job
        self._plc.answer(request, job=self._job)
        self._look_for_challenge(at_once=True)
        self._say_whether_ready()
        off_ms = (time.monotonic_ns() - started) / 1e6
        said = events.fields(events.Event.JOB, job=self._job, recipe=inspector.recipe.part)
        log.info("job %d runs: %s; Ready was off for %.2f ms", self._job, inspector.recipe.part, off_ms, extra=said)
        self._jobs.give_up(before)

    def _read_again(self) -> None:
        """Between two parts: new thresholds when they are there; when asked to (SIGHUP), a changed recipe too, opened beside the line.

        systemd hears `reloading` until the last of it is in force or refused.
        """
        if self._jobs.under_way:
            return
        asked = self._watch.asked.is_set()
        if asked:
            self._status.state("reloading")
        self._look_for_thresholds()
        if (asked or self._refused.is_due()) and self._serves_what_stands():
            self._delivery.alarm("recipe", "")
            self._refused.recipe = False
        elif asked:
            self.change(PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=time.monotonic_ns(), job=AGAIN))
        if self._status.now == "reloading" and not self._jobs.under_way:
            self._say_whether_ready()

    def _serves_what_stands(self) -> bool:
        """Whether the thresholds that stand there fit what serves, and the recipe file is what it was."""
        return not self._refused.thresholds and not self._recipes.have_changed(self.inspector.recipe)

    def _look_for_thresholds(self) -> None:
        """No part is held against a mixture of old and new ones."""
        for action in reload_asked(self._watch.asked):
            self._note(action)
        old, asked = self.inspector.thresholds, self._watch.asked.is_set()
        said = self._watch.look(self.inspector)
        if said is not None:
            self._refused.thresholds = said
            self._delivery.alarm("thresholds", said)
            self._note_thresholds(old, said)
            if asked or not said:  # where the old ones stay in force, their guard stays, too
                self._guarding.begin(self.inspector)
            self._tell_what_serves()
            self._look_for_challenge(at_once=True)

    def _note_thresholds(self, old: Thresholds, said: str) -> None:
        if self.inspector.thresholds is not old:
            self._note(taken_over(self.inspector, old))
        elif said:
            self._note(not_taken_over(self.inspector, said))

    def _show_what_serves(self) -> None:
        self._note(serving(self.inspector, self._job))
        for source in ("job", "recipe", "thresholds"):
            self._delivery.alarm(source, "")
        self._refused = Refused()
        self._delivery.alarm("acceptance", self._recipes.unwritten)
        self._guarding.begin(self.inspector)
        self._tell_what_serves()

    def _tell_what_serves(self) -> None:
        self._delivery.decides(self.inspector)
        self._status.serving(
            self.inspector.recipe,
            engine_sha256=self.inspector.model.engine_sha256,
            calibration_id=self.inspector.calibration_id,
        )
