"""The methods of OPC 40100-1 that the station has, each through the shared handshake; docs/opcua.md says what the others answer.

A method that cannot do what it says answers an Error below 0 (the station's own; above 0 is the standard's, 0 is done), and one that
the station does not have answers Bad_NotSupported.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from asyncua import ua

from edge_inspect.datatypes import Deed
from edge_inspect.plc.opcua_guard import caller
from edge_inspect.plc.opcua_model import AUTOMATIC, STATE_MACHINE
from edge_inspect.plc.opcua_results import Ids, ResultRing, job_id, recipe_id, vision
from edge_inspect.plc.opcua_signals import LARGEST_JOB
from edge_inspect.plc.signals import Control, OfflineReason, Status
from edge_inspect.plc.states import MachineState

Method = Callable[..., Awaitable[Any]]
FILTERS = (
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "ProductId",
    "JobId",
)
"""Arguments 1 to 8 of GetResultListFiltered, each an id."""
COMPONENTS = (
    "IsPartial",
    "IsSimulated",
    "ResultState",
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ProductId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "JobId",
    "CreationTime",
    "ProcessingTimes",
    "ResultContent",
)
logger = logging.getLogger(__name__)


class MethodError(enum.IntEnum):
    """What a method answers as `Error`."""

    NONE = 0
    INVALID_STATE = -1
    NO_SUCH_RESULT = -2
    NO_SUCH_HANDLE = -3
    NO_JOB_NUMBER = -4
    BUSY = -5
    OTHER_RECIPE = -6


class Line(Protocol):
    """What the methods need of the server."""

    ring: ResultRing
    run: str
    state: MachineState | None

    @property
    def control(self) -> Control:
        """What the PLC has said so far."""

    def status(self) -> Status:
        """What the PLC sees."""

    async def say(self, **levels: bool | int) -> None:
        """Change levels of the control words."""

    async def pulse(self, level: str) -> None:
        """Let one of them rise, from low, and fall."""

    def trigger(self, ids: Ids) -> int | None:
        """Trigger one part where the station is ready; its acquisition, or None."""

    async def change_job(self, job: int) -> None:
        """Ask for a job; the answer comes as an event."""


class Methods:
    """The methods, by their path below the vision system."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def table(self) -> dict[str, Method]:
        """Every method that does something, ready for asyncua."""
        reading: dict[str, Method] = {
            "ResultManagement.GetResultById": self.get_result_by_id,
            "ResultManagement.GetResultComponentsById": self.get_result_components_by_id,
            "ResultManagement.GetResultListFiltered": self.get_result_list_filtered,
            "ResultManagement.ReleaseResultHandle": self.release_result_handle,
        }
        controlling: dict[str, Method] = {
            "RecipeManagement.PrepareRecipe": self.prepare_recipe,
            f"{STATE_MACHINE}.ConfirmAll": self.confirm_all,
            f"{STATE_MACHINE}.Halt": self.halt,
            f"{STATE_MACHINE}.Reset": self.reset,
            f"{STATE_MACHINE}.SelectModeAutomatic": self.select_mode_automatic,
            f"{AUTOMATIC}.StartSingleJob": self.start_single_job,
            f"{AUTOMATIC}.Stop": self.stop,
        }
        return {path: _answering(method) for path, method in reading.items()} | {
            path: _controlling(path, method) for path, method in controlling.items()
        }

    # ---- results ----

    async def get_result_by_id(self, wanted: Any, _timeout: int) -> Iterable[ua.Variant]:
        """One result, whole."""
        data = self._line.ring.get(wanted.Id)
        yield_, error = (vision("ResultDataType")(), MethodError.NO_SUCH_RESULT) if data is None else (data, MethodError.NONE)
        return _handle(0 if data is None else self._line.ring.hand_out()), _struct(yield_), _error(error)

    async def get_result_components_by_id(self, wanted: Any, _timeout: int) -> Iterable[ua.Variant]:
        """One result, field by field."""
        data = self._line.ring.get(wanted.Id)
        shown = vision("ResultDataType")() if data is None else data
        handle = 0 if data is None else self._line.ring.hand_out()
        fields = [_component(name, getattr(shown, name)) for name in COMPONENTS]
        error = MethodError.NO_SUCH_RESULT if data is None else MethodError.NONE
        return [ua.Variant(False), _handle(handle), *fields, _error(error)]

    async def get_result_list_filtered(self, state: int, *arguments: Any) -> Iterable[ua.Variant]:
        """The results that fit, newest first, so many from a place on; MaxResults 0 is all."""
        wanted = {name: getattr(argument, "Id", None) or "" for name, argument in zip(FILTERS, arguments, strict=False)}
        most, start, _timeout = arguments[len(FILTERS) :]
        fitting = self._line.ring.newest_first(wanted, state)
        some = fitting[start : start + most if most else None]
        return (
            ua.Variant(start + len(some) >= len(fitting)),
            ua.Variant(len(some), ua.VariantType.UInt32),
            _handle(self._line.ring.hand_out()),
            ua.Variant(some, ua.VariantType.ExtensionObject, is_array=True),
            _error(MethodError.NONE),
        )

    async def release_result_handle(self, handle: int) -> Iterable[ua.Variant]:
        """Give a handle back."""
        return (_error(MethodError.NONE if self._line.ring.give_back(handle) else MethodError.NO_SUCH_HANDLE),)

    # ---- the state machine ----

    async def halt(self, *_cause: Any) -> Iterable[ua.Variant]:
        """No inspection is wanted: Set Offline."""
        await self._line.say(set_offline=True)
        return (_error(MethodError.NONE),)

    async def reset(self, *_cause: Any) -> Iterable[ua.Variant]:
        """Inspection is wanted again, and errors are cleared."""
        await self._line.say(set_offline=False)
        await self._line.pulse("clear_error")
        return (_error(MethodError.NONE),)

    async def select_mode_automatic(self) -> Iterable[ua.Variant]:
        """Triggers count from here on."""
        if self._line.status().offline_reason is not OfflineReason.ONLINE:
            return (_error(MethodError.INVALID_STATE),)
        await self._line.say(trigger_enable=True)
        return (_error(MethodError.NONE),)

    async def stop(self, *_cause: Any) -> Iterable[ua.Variant]:
        """Triggers do not count any more; the part that is open gets its verdict. Parts that come by themselves cannot be stopped."""
        if self._line.state is MachineState.CONTINUOUS_EXECUTION or self._line.status().offline_reason is not OfflineReason.ONLINE:
            return (_error(MethodError.INVALID_STATE),)
        await self._line.say(trigger_enable=False)
        return (_error(MethodError.NONE),)

    async def confirm_all(self, _comment: Any) -> Iterable[ua.Variant]:
        """Errors are cleared."""
        await self._line.pulse("clear_error")
        return ()

    async def start_single_job(self, meas: Any, part: Any, recipe: Any, product: Any, _parameters: Any) -> Iterable[ua.Variant]:
        """Trigger one part, as the rising edge of Trigger does; where that would be missed, nothing is triggered."""
        job = vision("JobIdDataType")()
        if (wanted := _id(recipe)) and wanted != str(self._line.status().current_job):
            return _struct(job), _error(MethodError.OTHER_RECIPE)
        named = {"meas": meas, "part": part, "recipe": recipe, "product": product}
        acquisition = self._line.trigger(Ids(**{name: one for name, one in named.items() if _id(one)}))
        if acquisition is None:
            return _struct(job), _error(MethodError.INVALID_STATE)
        job.Id = job_id(self._line.run, acquisition)
        return _struct(job), _error(MethodError.NONE)

    # ---- recipes ----

    async def prepare_recipe(self, external: Any, internal: Any) -> Iterable[ua.Variant]:
        """Change to the job whose number the recipe's id is; where it does not run yet, an event tells when it does."""
        job = _job(_id(external) or _id(internal))
        status = self._line.status()
        if job is None:
            return _prepared(status.current_job, done=False, error=MethodError.NO_JOB_NUMBER)
        if job == status.current_job and not status.command_executing:
            return _prepared(job, done=True, error=MethodError.NONE)
        if status.command_executing or self._line.control.execute_command:
            return _prepared(status.current_job, done=False, error=MethodError.BUSY)
        await self._line.change_job(job)
        return _prepared(job, done=False, error=MethodError.NONE)


async def not_supported(_parent: ua.NodeId, *_arguments: Any) -> ua.StatusCode:
    """What the standard demands and the station does not have."""
    return ua.StatusCode(ua.StatusCodes.BadNotSupported)


def _answering(method: Method) -> Method:
    """For asyncua: variants come in and go out, and arguments that do not fit are the caller's mistake."""

    async def called(_parent: ua.NodeId, *variants: ua.Variant) -> Any:
        try:
            return list(await method(*(variant.Value for variant in variants)))
        except (TypeError, AttributeError, ValueError) as error:
            logger.info("OPC UA: a method was called with arguments that do not fit: %s", error)
            return ua.StatusCode(ua.StatusCodes.BadInvalidArgument)

    return called


def _controlling(path: str, method: Method) -> Method:
    """For those who may control only."""
    answering = _answering(method)

    async def called(parent: ua.NodeId, *variants: ua.Variant) -> Any:
        asking = caller()
        if not asking.person.may_control:
            asking.refused(Deed.REQUEST, asking.peer, f"method {path}: it may only read")
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return await answering(parent, *variants)

    return called


def _id(named: Any) -> str:
    return (getattr(named, "Id", None) or "").strip()


def _job(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) <= LARGEST_JOB else None


def _prepared(job: int, *, done: bool, error: MethodError) -> Iterable[ua.Variant]:
    return _struct(recipe_id(job)), ua.Variant(done), _error(error)


def _error(error: MethodError) -> ua.Variant:
    return ua.Variant(int(error), ua.VariantType.Int32)


def _handle(number: int) -> ua.Variant:
    return ua.Variant(number, ua.VariantType.UInt32)


def _struct(value: Any) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.ExtensionObject)


def _component(name: str, value: Any) -> ua.Variant:
    if name == "ResultContent":
        return ua.Variant(value or [], ua.VariantType.Variant, is_array=True)
    if name in {"IsPartial", "IsSimulated"}:
        return ua.Variant(bool(value))
    if name == "ResultState":
        return ua.Variant(int(value), ua.VariantType.Int32)
    if name == "CreationTime":
        return ua.Variant(value, ua.VariantType.DateTime)
    return _struct(value) if value is not None else ua.Variant(None)
