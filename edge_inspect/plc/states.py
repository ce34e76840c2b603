"""The states of a vision system by the names of OPC 40100-1 (OPC UA for Machine Vision), read off the one handshake. Pure."""

from __future__ import annotations

import enum

from edge_inspect.plc.signals import OfflineReason, Status


class MachineState(enum.Enum):
    """Preoperational, Halted, Error, and the states within Operational."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE_EXECUTION = "SingleExecution"
    CONTINUOUS_EXECUTION = "ContinuousExecution"

    @property
    def operational(self) -> bool:
        """Whether it is a state within Operational."""
        return self not in {MachineState.PREOPERATIONAL, MachineState.HALTED, MachineState.ERROR}


def machine_state(status: Status, *, continuous: bool = False) -> MachineState:
    """What a machine vision client is told of a handshake.

    Halted is the PLC's wish (Set Offline). A station that is not ready is Preoperational, or in Error while an error code stands.
    Parts that go wrong one by one are FAULT results, not the Error state: the station goes on.

    Args:
        status: the handshake.
        continuous: the camera triggers, so that a job is a run of parts and not one.
    """
    if status.offline_reason is OfflineReason.PLC:
        return MachineState.HALTED
    if status.offline_reason is OfflineReason.STATION:
        return MachineState.ERROR if status.error else MachineState.PREOPERATIONAL
    if continuous:
        return MachineState.CONTINUOUS_EXECUTION
    if status.system_busy and not status.command_executing:
        return MachineState.SINGLE_EXECUTION
    return MachineState.READY if status.trigger_ready else MachineState.INITIALIZED
