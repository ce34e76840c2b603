"""The names of OPC 40100-1 for what the handshake shows."""

from edge_inspect.plc.handshake import Handshake
from edge_inspect.plc.signals import Control
from edge_inspect.plc.states import MachineState, machine_state

ON = Control(trigger_enable=True)


def test_a_station_goes_through_the_states_of_opc_40100():
    handshake = Handshake(allowed_ns=100)

    def state(**options):
        return machine_state(handshake.status(0), **options)

    assert state() is MachineState.PREOPERATIONAL
    handshake.ready(True)
    assert state() is MachineState.INITIALIZED
    handshake.write(ON, 0)
    assert state() is MachineState.READY
    handshake.write(Control(trigger_enable=True, trigger=True), 0)
    assert state() is MachineState.SINGLE_EXECUTION
    assert state(continuous=True) is MachineState.CONTINUOUS_EXECUTION
    handshake.write(Control(set_offline=True), 0)
    assert state() is MachineState.HALTED
    handshake.write(ON, 200)
    handshake.ready(False)
    assert handshake.status(200).error
    assert machine_state(handshake.status(200)) is MachineState.ERROR


def test_only_the_states_within_operational_are_operational():
    assert [state.value for state in MachineState if not state.operational] == ["Preoperational", "Halted", "Error"]
