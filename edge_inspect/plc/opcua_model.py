"""The address space of the OPC UA wire: OPC 40100-1 from its nodeset, one vision system, and the handshake as plain variables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Node, Server, ua
from asyncua.common.manage_nodes import delete_nodes
from asyncua.common.structures104 import load_custom_struct
from asyncua.server.address_space import AttributeValue

from edge_inspect.plc.opcua_signals import TYPES, browse_name
from edge_inspect.plc.registers import CONTROL, STATUS, Row
from edge_inspect.plc.states import MachineState

NODESET = Path(__file__).parent / "nodesets" / "Opc.Ua.MachineVision.NodeSet2.xml"
MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"
OURS = "urn:edge-inspect:station"
SYSTEM = "VisionSystem"
VISION_SYSTEM_TYPE, VISION_STATES_TYPE, AUTOMATIC_STATES_TYPE = 1003, 1017, 1021
LEFT_OUT = (
    "ConfigurationManagement",
    "DiagnosticLevel",
    "SafetyStateManagement",
    "SystemState",
    "RecipeManagement.AddRecipe",
    "RecipeManagement.PrepareProduct",
    "RecipeManagement.Products",
    "RecipeManagement.RecipeTransfer",
    "RecipeManagement.Recipes",
    "RecipeManagement.ReleaseRecipeHandle",
    "RecipeManagement.RemoveRecipe",
    "RecipeManagement.UnlinkProduct",
    "RecipeManagement.UnprepareProduct",
    "ResultManagement.ResultTransfer",
    "VisionStateMachine.ErrorStepModel",
    "VisionStateMachine.HaltedStepModel",
    "VisionStateMachine.PreoperationalStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.ContinuousExecutionStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.InitializedStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.ReadyStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.SingleExecutionStepModel",
)
"""Optional parts of the model that the station does not have; what is mandatory and not there answers Bad_NotSupported."""
ID_BASE = 3019
NAMED_IDS = {"ConfigurationIdDataType": 3008, "RecipeIdExternalDataType": 3002, "RecipeIdInternalDataType": 3013}
"""Types that add nothing to BinaryIdBaseDataType: the nodeset gives them no fields, and asyncua then takes them for their base."""
STATE_MACHINE = "VisionStateMachine"
AUTOMATIC = f"{STATE_MACHINE}.AutomaticModeStateMachine"
READ_ONLY = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Where things are in the address space.

    Attributes:
        ours: namespace index of the station's nodes.
        vision: namespace index of the machine vision types.
        states: node of each state, by its name.
        methods: the vision system's methods, by their path below it.
    """

    ours: int
    vision: int
    states: dict[str, ua.NodeId]
    methods: dict[str, ua.NodeId]

    def below(self, path: str) -> ua.NodeId:
        """A node of the vision system, as `ResultManagement.GetResultById`."""
        return ua.NodeId(f"{SYSTEM}.{path}", self.ours)

    def status(self, row: Row) -> ua.NodeId:
        """A variable that the station shows."""
        return ua.NodeId(f"Status.{browse_name(row)}", self.ours)

    def control(self, name: str) -> ua.NodeId:
        """A variable that the PLC writes, by its browse name."""
        return ua.NodeId(f"Control.{name}", self.ours)


async def build_model(server: Server) -> Model:
    """Read the nodeset and make the station's nodes; nothing but the control variables can be written."""
    ours = await server.register_namespace(OURS)
    await server.import_xml(NODESET)
    vision = await server.get_namespace_index(MACHINE_VISION)
    for name in NAMED_IDS:
        await _define_as_its_base(server, vision, name)
    system = await server.nodes.objects.add_object(
        ua.NodeId(SYSTEM, ours), ua.QualifiedName(SYSTEM, ours), ua.NodeId(VISION_SYSTEM_TYPE, vision)
    )
    await _leave_out(server, [server.get_node(ua.NodeId(f"{SYSTEM}.{path}", ours)) for path in LEFT_OUT])
    _make_read_only(server)
    await _add_variables(server, ours, "Status", STATUS, is_written=False)
    await _add_variables(server, ours, "Control", CONTROL, is_written=True)
    return Model(
        ours=ours,
        vision=vision,
        states=await _states(server, vision),
        methods={path: node.nodeid for path, node in await _methods(system)},
    )


async def add_last_result(server: Server, model: Model, data: Any) -> ua.NodeId:
    """The variable that holds the newest result, whole."""
    folder = server.get_node(model.below("ResultManagement.Results"))
    node = await folder.add_variable(model.below("ResultManagement.Results.LastResult"), ua.QualifiedName("LastResult", model.ours), data)
    nodeid: ua.NodeId = node.nodeid
    return nodeid


def state_values(model: Model, state: MachineState) -> Iterable[tuple[ua.NodeId, ua.DataValue]]:
    """What both state machines show in a state."""
    outer = "Operational" if state.operational else state.value
    yield from _current(model, STATE_MACHINE, outer)
    yield from _current(model, AUTOMATIC, state.value if state.operational else None)


def _current(model: Model, machine: str, state: str | None) -> Iterable[tuple[ua.NodeId, ua.DataValue]]:
    node, number = model.below(f"{machine}.CurrentState"), model.below(f"{machine}.CurrentState.Id")
    if state is None:
        for one in (node, number):
            yield one, ua.DataValue(ua.Variant(None), ua.StatusCode(ua.StatusCodes.BadStateNotActive))
        return
    yield node, ua.DataValue(ua.Variant(ua.LocalizedText(state), ua.VariantType.LocalizedText))
    yield number, ua.DataValue(ua.Variant(model.states[state], ua.VariantType.NodeId))


async def _define_as_its_base(server: Server, vision: int, name: str) -> None:
    """Give a type the fields of its base, and its own encoding."""
    node = server.get_node(ua.NodeId(NAMED_IDS[name], vision))
    base = await server.get_node(ua.NodeId(ID_BASE, vision)).read_data_type_definition()
    encodings = await node.get_referenced_nodes(ua.ObjectIds.HasEncoding, ua.BrowseDirection.Forward)
    (binary,) = [one for one in encodings if (await one.read_browse_name()).Name == "Default Binary"]
    definition = ua.StructureDefinition(
        DefaultEncodingId=binary.nodeid, BaseDataType=ua.NodeId(ID_BASE, vision), StructureType=base.StructureType, Fields=list(base.Fields)
    )
    attribute = AttributeValue(ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject)))
    server.iserver.aspace[node.nodeid].attributes[ua.AttributeIds.DataTypeDefinition] = attribute
    setattr(ua, name, await load_custom_struct(node))  # where asyncua has put the base


async def _leave_out(server: Server, nodes: list[Node]) -> None:
    """Delete nodes and what is below them, with every reference to them: asyncua would go through all nodes for each of them anew."""
    deleted, _ = await delete_nodes(server.iserver.isession, nodes, recursive=True, delete_target_references=False)
    gone = {node.nodeid for node in deleted}
    aspace = server.iserver.aspace
    for nodeid in list(aspace.keys()):
        references = aspace[nodeid].references
        references[:] = [reference for reference in references if reference.NodeId not in gone]


async def _add_variables(server: Server, ours: int, folder: str, rows: Iterable[Row], *, is_written: bool) -> None:
    parent = await server.nodes.objects.add_object(ua.NodeId(folder, ours), ua.QualifiedName(folder, ours))
    for row in rows:
        kind = ua.VariantType[TYPES[row.kind]]
        name = browse_name(row)
        value: Any = False if row.kind == "bit" else float("nan") if row.kind == "float32" else 0
        node = await parent.add_variable(ua.NodeId(f"{folder}.{name}", ours), ua.QualifiedName(name, ours), value, varianttype=kind)
        await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.LocalizedText(row.meaning)))
        if is_written:
            await node.set_writable()


def _make_read_only(server: Server) -> None:
    """The standard address space has some hundred variables that a client may write; nothing of it is meant here."""
    aspace = server.iserver.aspace
    for nodeid in list(aspace.keys()):
        attributes = aspace[nodeid].attributes
        for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            if attribute in attributes:
                attributes[attribute].value = ua.DataValue(ua.Variant(READ_ONLY, ua.VariantType.Byte))


async def _states(server: Server, vision: int) -> dict[str, ua.NodeId]:
    found = {}
    for machine in (VISION_STATES_TYPE, AUTOMATIC_STATES_TYPE):
        for child in await server.get_node(ua.NodeId(machine, vision)).get_children():
            found[(await child.read_browse_name()).Name] = child.nodeid
    return {name: found[name] for name in (*(state.value for state in MachineState), "Operational")}


async def _methods(node: Node) -> list[tuple[str, Node]]:
    """All below a node, by their path."""
    found = []
    for child in await node.get_children():
        if await child.read_node_class() == ua.NodeClass.Method:
            found.append((str(child.nodeid.Identifier).removeprefix(f"{SYSTEM}."), child))
        else:
            found += await _methods(child)
    return found
