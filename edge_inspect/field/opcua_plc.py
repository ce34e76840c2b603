"""A fake PLC of the wire `opcua`: triggers by StartSingleJob, takes results as events, keeps a ledger, and misbehaves when asked to.

It gives every part a name of its own (PartId), and so knows a result whatever became of the connection: a trigger whose answer it never got
is looked up in the station's list (GetResultListFiltered) and given once more only where the station has not counted it. What came as an
event is held against that list again and again (`opcua_book`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar, cast

from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import AWAY_S, SCAN_S, SLOW_SCAN_S, Misbehaviour
from edge_inspect.field.opcua_book import Book, part_of
from edge_inspect.field.opcua_link import OpcUaLink, Way
from edge_inspect.field.pace import at_intervals
from edge_inspect.field.plc_ledger import Answer, Ledger
from edge_inspect.plc.opcua_events import RECIPE_PREPARED, RESULT_READY
from edge_inspect.plc.opcua_methods import MethodError
from edge_inspect.plc.opcua_model import AUTOMATIC, STATE_MACHINE

BOOKS_EVERY = 50
"""Parts after which the station's list is held against what was heard; it keeps 100 results."""
NO_NUMBER = "no number"
CUT_BEFORE, CUT_UNDERWAY, HUNG_UP = range(3)
Done = TypeVar("Done")


class FakeOpcUaPlc:
    """A client of a station; a context manager.

    What is done wrong with a part: `no-ack`: no event is subscribed to, and the result fetched afterwards. `double-trigger`: a second one
    is triggered with it, and one while the mode is off. `slow-scan`: nothing is read for a while. `disconnect`: in turns, the connection
    is cut before the trigger is out, cut with the trigger on its way, hung up after it. `job-change`: jobs are asked for beside it, one
    that is no number, and a part for a recipe that does not run.

    Attributes:
        answers: every result it asked for, as they came.
    """

    def __init__(self, way: Way, *, misbehave: frozenset[Misbehaviour] = frozenset(), jobs: int = 1) -> None:
        """Nothing is connected yet.

        Args:
            way: how to reach the station.
            misbehave: what to do wrong where `drive` is not told for each part.
            jobs: `job-change` asks for each of so many in turns, and for the last of them every time.
        """
        self._way, self._misbehave, self._jobs = way, misbehave, jobs
        self._link = OpcUaLink(way, self._heard)
        self._loop = asyncio.new_event_loop()
        self._name, self._named = uuid.uuid4().hex[:8], 0
        self._book = Book()
        self._job_answers: deque[bool] = deque()
        self._disconnects = 0
        self.answers = self._book.answers

    def __enter__(self) -> FakeOpcUaPlc:
        """Connect, leave the results of others alone, and select the automatic mode.

        Raises:
            PlcError: no station answers there, or it does not let us in.
        """
        try:
            self._do(self._begin())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hang up."""
        self._close()

    def drive(
        self,
        parts: int,
        *,
        interval_s: float = 0.0,
        each: Callable[[Answer | None], None] = lambda _: None,
        choose: Callable[[], frozenset[Misbehaviour]] | None = None,
    ) -> Ledger:
        """Trigger `parts` parts, `interval_s` [s] apart or as fast as the station answers.

        Args:
            parts: how many.
            interval_s: time from one trigger to the next; more where the station is slower.
            each: called with the answer of each part, None for one that got none.
            choose: called before each part for what to do wrong with it; None always does what was said at the start.
        """
        for _ in at_intervals(parts, interval_s):
            self._book.cycles += 1
            each(self._do(self._try_one(self._misbehave if choose is None else choose())))
            if self._book.cycles % BOOKS_EVERY == 0:
                self._do(self._compare_books())
        self._do(self._compare_books())
        return self.ledger()

    def start_anew(self) -> None:
        """The station was started again: connect to the new one.

        Raises:
            PlcError: it does not answer.
        """
        self._do(self._begin())

    def change_job(self, job: int) -> bool:
        """Ask for another job; whether it runs now.

        Raises:
            PlcError: no answer in time, a refusal, or the connection broke.
        """
        return self._do(self._change_job(job))

    def ledger(self) -> Ledger:
        """What it has counted so far."""
        return self._book.ledger()

    # ---- one part ----

    async def _try_one(self, wrong: frozenset[Misbehaviour]) -> Answer | None:
        part = self._new_part()
        self._book.triggers += 1
        try:
            return await self._one(part, wrong)
        except PlcError:
            self._book.withdraw(part)  # the part is lost; its result, should it still come, is one nobody asked for
            await self._link.cut()
            return None

    async def _one(self, part: str, wrong: frozenset[Misbehaviour]) -> Answer:
        if not self._link.is_up:
            await self._begin()
        if Misbehaviour.NO_ACK in wrong:
            await self._link.unsubscribe()
        await self._wait_for_ready()
        if Misbehaviour.DISCONNECT in wrong:
            await self._trigger_and_disconnect(part)
        elif Misbehaviour.DOUBLE_TRIGGER in wrong:
            await self._trigger_twice(part)
        else:
            await self._trigger(part)
        if Misbehaviour.SLOW_SCAN in wrong:
            time.sleep(SLOW_SCAN_S)  # nothing is read, on purpose
        if wrong & {Misbehaviour.NO_ACK, Misbehaviour.DISCONNECT}:
            await self._wait(f"{part} in the list of results", lambda: self._is_in_the_list(part))
        await self._link.subscribe()
        if Misbehaviour.JOB_CHANGE in wrong:
            await self._ask_for_jobs()
        return await self._answer(part)

    async def _trigger(self, part: str) -> None:
        self._book.ask(part)
        if error := await self._start(part):
            raise PlcError(f"fake PLC: StartSingleJob was answered with {error} although the station is ready; see docs/opcua.md")

    async def _start(self, part: str) -> int:
        job, error = await self._link.start_single_job(part)
        if not error:
            self._book.start(part, job)
        return error

    async def _trigger_twice(self, part: str) -> None:
        """Both calls go out at once; then, the part being done, once more while the mode is off."""
        second = self._new_part()
        self._book.ask(second)
        _, error = await asyncio.gather(self._trigger(part), self._start(second))
        if error:
            self._book.withdraw(second)
            self._book.refused += 1
        else:
            self._book.triggers += 1
            await self._answer(second)
        await self._answer(part)
        await self._call(f"{AUTOMATIC}.Stop", None, None, None)
        await self._must_be_refused()
        await self._call(f"{STATE_MACHINE}.SelectModeAutomatic")

    async def _must_be_refused(self, *, recipe: str = "") -> None:
        """A trigger that the station has to refuse; the result of one that it takes is one nobody asked for."""
        _, error = await self._link.start_single_job(self._new_part(), recipe=recipe)
        self._book.refused += bool(error)

    async def _trigger_and_disconnect(self, part: str) -> None:
        how, self._disconnects = self._disconnects % 3, self._disconnects + 1
        if how == HUNG_UP:
            await self._trigger(part)
            await self._link.hang_up()
        else:
            self._book.ask(part)
            await self._link.start_and_cut(part, first=how == CUT_BEFORE)
        await asyncio.sleep(AWAY_S)
        await self._link.connect()
        if how != HUNG_UP and not await self._is_counted(part):
            await self._trigger(part)

    async def _is_counted(self, part: str) -> bool:
        """Whether the station has counted a trigger whose answer was never heard: it has a result of it once it is ready again."""
        await self._wait_for_ready()
        return await self._is_in_the_list(part)

    async def _answer(self, part: str) -> Answer:
        await self._wait(f"the result of {part}", lambda: self._is_told(part))
        return cast("Answer", self._book.answer_of(part))

    async def _is_told(self, part: str) -> bool:
        return self._book.answer_of(part) is not None

    async def _is_in_the_list(self, part: str) -> bool:
        await self._fetch(part)
        return await self._is_told(part)

    async def _ask_for_jobs(self) -> None:
        _, error = await self._link.prepare_recipe(NO_NUMBER)
        if error != MethodError.NO_JOB_NUMBER:
            raise PlcError(f"fake PLC: job {NO_NUMBER!r} was answered with {error}, not as docs/opcua.md says; see the station's log")
        for job in (self._book.cycles % self._jobs, self._jobs - 1):
            await self._change_job(job)
        await self._must_be_refused(recipe=NO_NUMBER)

    async def _change_job(self, job: int) -> bool:
        self._job_answers.clear()
        done, error = await self._link.prepare_recipe(str(job))
        if error:
            raise PlcError(f"fake PLC: job {job} was answered with {error}; see docs/opcua.md")
        if not done:
            await self._wait("the answer to a job change", self._is_job_answered)
            done = self._job_answers.popleft()
        return done

    async def _is_job_answered(self) -> bool:
        return bool(self._job_answers)

    # ---- results ----

    def _heard(self, event: Any) -> None:
        kind = event.EventType.Identifier
        if kind == RESULT_READY:
            self._book.note(event, heard=True)
        else:
            self._job_answers.append(kind == RECIPE_PREPARED)

    async def _fetch(self, part: str = "") -> None:
        for data in await self._link.results(part=part):
            self._book.note(data)

    async def _compare_books(self) -> None:
        """Results that the station keeps, and that were never told, count too."""
        with suppress(PlcError):  # the station is gone: the ledger is still worth having
            await self._fetch()

    # ---- the connection ----

    async def _begin(self) -> None:
        await self._link.cut()
        await self._link.connect()
        for data in await self._link.results():  # of whoever was there before; what we asked for ourselves is counted
            if part_of(data).startswith(self._name):
                self._book.note(data)
            else:
                self._book.leave_alone(data)
        await self._call(f"{STATE_MACHINE}.SelectModeAutomatic")

    async def _call(self, path: str, *words: Any) -> None:
        if error := await self._link.call(path, *words):
            raise PlcError(f"fake PLC: {path} was answered with {error}; is the station ready, and may this user control?")

    async def _wait_for_ready(self) -> None:
        await self._wait("Trigger Ready", lambda: self._link.status("TriggerReady"))

    async def _wait(self, what: str, is_so: Callable[[], Awaitable[object]]) -> None:
        until = time.monotonic() + self._way.timeout_s
        while not await is_so():
            if time.monotonic() > until:
                raise PlcError(f"fake PLC: waited {self._way.timeout_s:g} s for {what} of the station at {self._way.url}; see its log")
            await asyncio.sleep(SCAN_S)

    def _new_part(self) -> str:
        self._named += 1
        return f"{self._name}-{self._named}"

    def _do(self, work: Coroutine[Any, Any, Done]) -> Done:
        return self._loop.run_until_complete(work)

    def _close(self) -> None:
        self._do(self._link.hang_up())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._do(asyncio.sleep(0))
        self._loop.close()
