"""Events of OPC 40100-1: a result is ready, the state has changed, a recipe runs or does not."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import datetime, timezone
from typing import Any

from asyncua import Server, ua

from edge_inspect.plc.opcua_model import SYSTEM, Model
from edge_inspect.plc.opcua_results import COMPLETED, recipe_id
from edge_inspect.plc.states import MachineState

RESULT_READY, STATE_CHANGED, RECIPE_PREPARED, ERROR = 1024, 1018, 1022, 1019
INFORMATION, IMPORTANT = 200, 600
"""Severities, of 1 to 1000."""
PLAIN = {
    "IsPartial": ua.VariantType.Boolean,
    "IsSimulated": ua.VariantType.Boolean,
    "ResultState": ua.VariantType.Int32,
    "CreationTime": ua.VariantType.DateTime,
    "ResultContent": ua.VariantType.Variant,
}
NOT_IN_EVENT = {"Encoding", "HasTransferableDataOnFile"}


class Events:
    """Sends them to who has subscribed at the vision system, or at the server object."""

    def __init__(self, server: Server, model: Model, generators: dict[int, Any]) -> None:
        self._server, self._model, self._generators = server, model, generators

    @classmethod
    async def prepare(cls, server: Server, model: Model) -> Events:
        """Look the types up, once."""
        system = ua.NodeId(SYSTEM, model.ours)
        generators = {}
        for number in (RESULT_READY, STATE_CHANGED, RECIPE_PREPARED, ERROR):
            generators[number] = await server.get_event_generator(ua.NodeId(number, model.vision), system)
        return cls(server, model, generators)

    async def result_ready(self, data: Any) -> None:
        """ResultReadyEventType, with every field of the result."""
        fields = {
            one.name: (getattr(data, one.name), PLAIN.get(one.name, ua.VariantType.ExtensionObject))
            for one in dataclasses.fields(data)
            if one.name not in NOT_IN_EVENT
        }
        severity = INFORMATION if data.ResultState == COMPLETED else IMPORTANT
        await self._send(RESULT_READY, f"result {data.ResultId.Id}: {data.ResultContent[0].Value}", severity, fields)

    async def state_changed(self, before: MachineState, after: MachineState) -> None:
        """StateChangedEventType."""
        severity = IMPORTANT if after is MachineState.ERROR else INFORMATION
        fields = {
            "FromState": (ua.LocalizedText(before.value), ua.VariantType.LocalizedText),
            "ToState": (ua.LocalizedText(after.value), ua.VariantType.LocalizedText),
        }
        await self._send(STATE_CHANGED, f"{before.value} to {after.value}", severity, fields)

    async def recipe_prepared(self, job: int, *, done: bool) -> None:
        """RecipePreparedEventType; ErrorEventType where it does not run."""
        fields = {"InternalId" if done else "InternalRecipeId": (recipe_id(job), ua.VariantType.ExtensionObject)}
        if done:
            await self._send(RECIPE_PREPARED, f"job {job} runs", INFORMATION, fields)
        else:
            await self._send(ERROR, f"job {job} does not run; the one before goes on", IMPORTANT, fields)

    async def _send(self, number: int, message: str, severity: int, fields: dict[str, tuple[Any, ua.VariantType]]) -> None:
        event = self._generators[number].event
        now = datetime.now(timezone.utc)
        event.EventId, event.Time, event.ReceiveTime = uuid.uuid4().bytes, now, now
        event.Message, event.Severity = ua.LocalizedText(message), severity
        event.LocalTime = ua.TimeZoneDataType(Offset=0, DaylightSavingInOffset=False)
        for name, (value, kind) in fields.items():
            event.add_property(name, value, kind)
        for source in (ua.NodeId(SYSTEM, self._model.ours), ua.NodeId(ua.ObjectIds.Server)):
            event.emitting_node = source
            await self._server.iserver.subscription_service.trigger_event(event)
