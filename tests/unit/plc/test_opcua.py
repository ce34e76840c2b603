"""The OPC UA wire by asyncua's own client: variables, methods, events, and what a factory refuses."""

from __future__ import annotations

import asyncio
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")

from asyncua import Client, ua

from edge_inspect.datatypes import Deed, Outcome
from edge_inspect.errors import ConfigError, DeadlineMissed, PlcError, PluginError
from edge_inspect.plc import opcua
from edge_inspect.plc.opcua import PASSWORD_VARIABLE, open_opcua
from edge_inspect.plc.opcua_methods import MethodError
from edge_inspect.plc.opcua_results import ResultRing
from tests.opcua_lab import (
    PASSWORD,
    SCORE,
    USER,
    WITHIN_S,
    Identity,
    Laboratory,
    call,
    client,
    eventually,
    identity,
    inspection_of,
    laboratory,
    node,
    value,
    write,
)

AUTOMATIC = "VisionStateMachine.AutomaticModeStateMachine"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("clients"), "me")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, me: Identity) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("lab"), results=4) as built:
        built.trust(me)
        yield built


def in_session(lab: Laboratory, me: Identity, work: Callable[[Client], Any]) -> Any:
    """Log in as the one who may control, from where the handshake rests."""

    async def go() -> Any:
        async with await client(lab, me, user=USER, password=PASSWORD) as connected:
            await connected.load_data_type_definitions()
            await write(
                connected, TriggerEnable=False, Trigger=False, ResultsAck=True, SetOffline=False, ExecuteCommand=False, ClearError=True
            )
            await write(connected, ResultsAck=False, ClearError=False)
            return await work(connected)

    return asyncio.run(go())


def named(kind: str, text: str = "") -> ua.Variant:
    return ua.Variant(getattr(ua, kind)(Id=text), ua.VariantType.ExtensionObject)


def start(connected: Client, *, part: str = "", recipe: str = "") -> Any:
    words = (named("MeasIdDataType"), named("PartIdDataType", part), named("RecipeIdExternalDataType", recipe), named("ProductIdDataType"))
    return call(connected, f"{AUTOMATIC}.StartSingleJob", *words, ua.Variant([], ua.VariantType.Variant, is_array=True))


async def is_at(connected: Client, state: str) -> None:
    async def reached() -> bool:
        return bool((await value(connected, f"VisionSystem.{AUTOMATIC}.CurrentState")).Text == state)

    await eventually(reached)


async def one_part(connected: Client, **ids: str) -> Any:
    """Start a job and wait for its result."""
    await call(connected, "VisionStateMachine.SelectModeAutomatic")
    await is_at(connected, "Ready")
    job, error = await start(connected, **ids)
    assert error == MethodError.NONE

    async def has_come() -> bool:
        return bool((await value(connected, "VisionSystem.ResultManagement.Results.LastResult")).JobId.Id == job.Id)

    await eventually(has_come)
    return await value(connected, "VisionSystem.ResultManagement.Results.LastResult")


def test_a_verdict_goes_through_the_whole_handshake(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        await write(connected, TriggerEnable=True, BufferResultsEnable=True)
        await write(connected, Trigger=True)

        async def is_valid() -> bool:
            return bool(await value(connected, "Status.ResultsValid"))

        await eventually(is_valid)
        assert await value(connected, "Status.Score") == SCORE
        assert await value(connected, "Status.ResultId") == await value(connected, "Status.InspectionId")
        await write(connected, Trigger=False, ResultsAck=True)
        assert await value(connected, "Status.ResultCode") == 0
        await write(connected, ResultsAck=False, BufferResultsEnable=False)

    in_session(shared, me, go)


def test_the_states_follow_the_methods(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        outer = "VisionSystem.VisionStateMachine.CurrentState"
        await is_at(connected, "Initialized")
        assert await call(connected, "VisionStateMachine.SelectModeAutomatic") == 0
        await is_at(connected, "Ready")
        assert await call(connected, f"{AUTOMATIC}.Stop", 0, "") == 0
        await is_at(connected, "Initialized")
        assert await call(connected, "VisionStateMachine.Halt", 0, "lunch") == 0
        assert (await value(connected, outer)).Text == "Halted"
        assert await call(connected, "VisionStateMachine.SelectModeAutomatic") == MethodError.INVALID_STATE
        assert await call(connected, f"{AUTOMATIC}.Stop", 0, "") == MethodError.INVALID_STATE
        inner = connected.get_node(node(f"VisionSystem.{AUTOMATIC}.CurrentState"))
        with pytest.raises(ua.UaStatusCodeError, match="BadStateNotActive"):
            await inner.read_value()
        assert await call(connected, "VisionStateMachine.Reset", 0, "") == 0
        assert (await value(connected, outer)).Text == "Operational"
        assert (await value(connected, f"{outer}.Id")).Identifier == 5031
        await call(connected, "VisionStateMachine.ConfirmAll", ua.LocalizedText("seen"))

    in_session(shared, me, go)


def test_a_job_is_not_started_where_its_trigger_would_be_missed(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        before = shared.plc.counters.triggers
        assert (await start(connected))[1] == MethodError.INVALID_STATE
        await call(connected, "VisionStateMachine.SelectModeAutomatic")
        assert (await start(connected, recipe="77"))[1] == MethodError.OTHER_RECIPE
        assert shared.plc.counters.triggers == before
        assert shared.plc.counters.missed == 0

    in_session(shared, me, go)


def test_results_are_found_by_what_the_client_called_them_newest_first(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        last = [await one_part(connected, part=f"part {number}") for number in range(6)]

        async def listed(part: str = "", *, most: int = 0, begin: int = 0, state: int = 0) -> Any:
            ids = [named(kind, part if kind == "PartIdDataType" else "") for kind in IDS]
            numbers = [ua.Variant(number, ua.VariantType.UInt32) for number in (most, begin)]
            return await call(
                connected, "ResultManagement.GetResultListFiltered", ua.Variant(state, ua.VariantType.Int32), *ids, *numbers, 0
            )

        done, count, handle, found, error = await listed()
        assert (done, count, error) == (True, 4, 0)
        assert [one.PartId.Id for one in found] == ["part 5", "part 4", "part 3", "part 2"]
        assert [one.PartId.Id for one in (await listed("part 3"))[3]] == ["part 3"]
        assert (await listed(most=1, begin=1))[:2] == [False, 1]
        assert (await listed(state=4))[1] == 0
        assert await call(connected, "ResultManagement.ReleaseResultHandle", ua.Variant(handle, ua.VariantType.UInt32)) == 0
        again = await call(connected, "ResultManagement.ReleaseResultHandle", ua.Variant(handle, ua.VariantType.UInt32))
        assert again == MethodError.NO_SUCH_HANDLE
        wanted = named("ResultIdDataType", last[5].ResultId.Id)
        assert (await call(connected, "ResultManagement.GetResultById", wanted, 0))[1] == last[5]
        gone = named("ResultIdDataType", last[0].ResultId.Id)
        assert (await call(connected, "ResultManagement.GetResultById", gone, 0))[2] == MethodError.NO_SUCH_RESULT
        components = await call(connected, "ResultManagement.GetResultComponentsById", wanted, 0)
        assert components[16] == 0
        assert components[15][0].Value == last[5].ResultContent[0].Value
        assert (await call(connected, "ResultManagement.GetResultComponentsById", gone, 0))[16] == MethodError.NO_SUCH_RESULT

    in_session(shared, me, go)


IDS = (
    "MeasIdDataType",
    "PartIdDataType",
    "RecipeIdExternalDataType",
    "RecipeIdInternalDataType",
    "ConfigurationIdDataType",
    "ConfigurationIdDataType",
    "ProductIdDataType",
    "JobIdDataType",
)


def prepare(connected: Client, text: str) -> Any:
    return call(connected, "RecipeManagement.PrepareRecipe", named("RecipeIdExternalDataType", text), named("RecipeIdInternalDataType"))


def test_a_recipe_is_a_job_and_a_second_one_meanwhile_is_refused(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        assert (await prepare(connected, "2"))[1:] == [False, 0]

        async def runs() -> bool:
            return bool(await value(connected, "Status.CurrentJob") == 2)

        await eventually(runs)

        async def rests() -> bool:
            return not await value(connected, "Control.ExecuteCommand")

        await eventually(rests)
        assert (await prepare(connected, "2"))[1:] == [True, 0]
        assert (await prepare(connected, "x"))[2] == MethodError.NO_JOB_NUMBER
        await write(connected, Job=1, ExecuteCommand=True)
        assert (await prepare(connected, "0"))[2] == MethodError.BUSY
        await write(connected, ExecuteCommand=False)

    in_session(shared, me, go)


def test_what_the_station_does_not_have_says_so(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        for path, words in (
            (f"{AUTOMATIC}.Abort", (0, "")),
            (f"{AUTOMATIC}.SimulationMode", (True, 0, "")),
            ("RecipeManagement.UnprepareRecipe", (named("RecipeIdExternalDataType"), named("RecipeIdInternalDataType"))),
        ):
            with pytest.raises(ua.UaStatusCodeError, match="BadNotSupported"):
                await call(connected, path, *words)
        with pytest.raises(ua.UaStatusCodeError, match="BadInvalidArgument"):
            await call(connected, "ResultManagement.GetResultById", 7)

    in_session(shared, me, go)


class Ears:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.heard.append(event)

    def datachange_notification(self, found: Any, shown: Any, _data: Any) -> None:
        self.heard.append((found.nodeid.Identifier, shown))


def test_subscribers_hear_results_and_states_at_the_system_and_at_the_server(shared: Laboratory, me: Identity) -> None:
    async def go(connected: Client) -> None:
        ears, levels = Ears(), Ears()
        subscription = await connected.create_subscription(20, ears)
        types = [connected.get_node(ua.NodeId(number, 3)) for number in (1024, 1018)]
        await subscription.subscribe_events(connected.get_node(node("VisionSystem")), types)
        await subscription.subscribe_events(connected.nodes.server, types)
        watching = await connected.create_subscription(20, levels)
        await watching.subscribe_data_change(
            [connected.get_node(node("Control.TriggerEnable")), connected.get_node(node("Status.ResultId"))]
        )
        await one_part(connected)

        async def heard() -> bool:
            return sum("result" in one.Message.Text for one in ears.heard) == 2 and ("Control.TriggerEnable", True) in levels.heard

        await eventually(heard)
        assert any("to Ready" in one.Message.Text for one in ears.heard)

    in_session(shared, me, go)


def test_at_the_deadline_fault_is_shown_while_the_engine_is_busy(shared: Laboratory, tmp_path: Path, me: Identity) -> None:
    go_on = threading.Event()

    async def go(connected: Client) -> None:
        await write(connected, TriggerEnable=True)
        await write(connected, Trigger=True)

        async def is_fault() -> bool:
            return bool(await value(connected, "Status.ResultCode") == 3)

        await eventually(is_fault)
        assert not go_on.is_set()
        assert await value(connected, "Status.FaultCode") == 1
        last = await value(connected, "VisionSystem.ResultManagement.Results.LastResult")
        assert last.ResultState == 4
        assert last.ResultContent[0].Value == "FAULT"

    with laboratory(tmp_path, deadline_ms=50.0) as lab:
        lab.trust(me)
        lab.engine = lambda: go_on.wait(WITHIN_S)
        try:
            in_session(lab, me, go)
        finally:
            go_on.set()


def test_control_actions_and_refusals_are_said_for_the_audit_record(shared: Laboratory, me: Identity) -> None:
    heard: list[Any] = []
    shared.plc.audit_to(heard.append)

    async def go(connected: Client) -> None:
        await call(connected, "VisionStateMachine.Halt", 0, "")
        await call(connected, "VisionStateMachine.Reset", 0, "")
        reader = await client(shared, me)
        async with reader:
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await write(reader, Trigger=True)
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await call(reader, "VisionStateMachine.Halt", 0, "")
        with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
            await (await client(shared, me, user=USER, password="a guess")).connect()

    in_session(shared, me, go)
    done = [one for one in heard if one.deed is Deed.ONLINE and one.outcome is Outcome.DONE]
    assert len(done) >= 2
    assert {(one.by.address, one.by.user, one.wire) for one in done} == {("127.0.0.1", USER, "opcua")}
    refused = [(one.deed, one.by.user) for one in heard if one.outcome is Outcome.REFUSED]
    assert refused[-3:] == [(Deed.REQUEST, "anonymous"), (Deed.REQUEST, "anonymous"), (Deed.CONNECTION, USER)]


# ---- opening and closing ----


def opened_with(folder: Path, **options: Any) -> None:
    with open_opcua(deadline_ms=1000.0, pki=folder, port=0, **options):
        pytest.fail("opened")


def test_what_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Identity) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=r"allow: .*write addresses or networks"):
        opened_with(tmp_path / "pki", allow=("the plc",))
    with pytest.raises(ConfigError, match="plc has no password; give password_file, or set EDGE_INSPECT_OPCUA_PASSWORD"):
        opened_with(tmp_path / "pki", username="plc")
    with pytest.raises(ConfigError, match=r"password_file: .*cannot be read"):
        opened_with(tmp_path / "pki", username="plc", password_file=tmp_path / "none")
    with pytest.raises(ConfigError, match="certificate and key go together"):
        opened_with(tmp_path / "pki", certificate=me.certificate)
    with pytest.raises(ConfigError, match=r"cannot be used: .*give a DER or PEM file and its key"):
        opened_with(tmp_path / "pki", certificate=me.certificate, key=me.certificate)
    other = identity(tmp_path, "other")
    with pytest.raises(ConfigError, match="is not the RSA key of"):
        opened_with(tmp_path / "pki", certificate=me.certificate, key=other.key)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"pki: .*cannot be made"):
        opened_with(tmp_path / "file")
    with pytest.raises(PlcError, match="does not have that address"):
        opened_with(tmp_path / "pki", host="192.0.2.1")
    monkeypatch.setattr(opcua.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PluginError, match=r"install the extra: pip install 'edge-inspect\[opcua\]'"):
        opened_with(tmp_path / "pki")


def test_the_stations_certificate_is_made_once_and_its_key_is_nobodys_to_read(tmp_path: Path) -> None:
    with laboratory(tmp_path, names=("cell-3.plant", "10.0.0.5")) as lab:
        port = lab.plc.bound_port
        with pytest.raises(PlcError, match="another program uses it"), open_opcua(deadline_ms=1.0, pki=tmp_path / "other", port=port):
            pytest.fail("opened")
    own = tmp_path / "pki" / "own"
    assert stat.S_IMODE((own / "key.pem").stat().st_mode) == 0o600
    first = (own / "certificate.der").read_bytes()
    with open_opcua(deadline_ms=1000.0, pki=tmp_path / "pki", port=0):
        assert (own / "certificate.der").read_bytes() == first
    assert b"cell-3.plant" in first
    assert bytes([10, 0, 0, 5]) in first


def test_a_given_certificate_is_used(tmp_path: Path, me: Identity) -> None:
    with open_opcua(deadline_ms=1000.0, pki=tmp_path / "pki", port=0, certificate=me.certificate, key=me.key) as plc:
        assert plc.is_open
    assert not list((tmp_path / "pki" / "own").iterdir())


def test_a_wire_that_is_closed_says_so_and_one_whose_server_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_opcua(deadline_ms=1000.0, pki=tmp_path / "pki", port=0) as plc:
        plc.ready(True)
        late = plc.begin(time.monotonic_ns())
        with pytest.raises(DeadlineMissed):
            plc.emit(inspection_of(late))
    with pytest.raises(PlcError, match="is closed; open it again"):
        plc.poll(0)
    from edge_inspect.plc import opcua_server

    monkeypatch.setattr(opcua_server, "build_model", None)
    with open_opcua(deadline_ms=1000.0, pki=tmp_path / "pki", port=0) as plc:
        assert plc.serving.wait(WITHIN_S)
        with pytest.raises(PlcError, match="is closed; open it again"):
            plc.poll(5.0)


def test_results_that_nobody_takes_are_counted_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua, "UNTOLD", 4)
    with open_opcua(deadline_ms=1000.0, pki=tmp_path / "pki", port=0) as plc:
        monkeypatch.setattr(plc, "made", list)
        plc.ready(True)
        for _ in range(6):
            plc.emit(inspection_of(plc.begin(time.monotonic_ns() + 10**11)))
        assert plc.dropped >= 2


def test_handles_are_bounded() -> None:
    ring = ResultRing(2)
    first = ring.hand_out()
    for _ in range(300):
        ring.hand_out()
    assert not ring.give_back(first)
    assert len(ring) == 0


def test_the_nodeset_is_in_the_package() -> None:
    from edge_inspect.plc.opcua_model import NODESET

    assert NODESET.is_file()


def test_parts_that_the_camera_sees_by_itself_are_continuous_execution(tmp_path: Path, me: Identity) -> None:
    """Nobody started it and nobody can stop it over the wire; Halt is the PLC's word against it."""
    with laboratory(tmp_path) as lab:
        lab.trust(me)

        async def go(connected: Client) -> None:
            await call(connected, "VisionStateMachine.SelectModeAutomatic")
            await is_at(connected, "Ready")
            ears = Ears()
            subscription = await connected.create_subscription(20, ears)
            await subscription.subscribe_events(connected.get_node(node("VisionSystem")), connected.get_node(ua.NodeId(1018, 3)))
            for _ in range(3):
                lab.plc.emit(inspection_of(lab.plc.begin(time.monotonic_ns() + 10**11)))
                await is_at(connected, "ContinuousExecution")
            assert (await start(connected))[1] == MethodError.INVALID_STATE
            assert await call(connected, f"{AUTOMATIC}.Stop", None, None, None) == MethodError.INVALID_STATE
            assert lab.plc.counters.triggers == 3
            assert await call(connected, "VisionStateMachine.Halt", None, None, None) == 0
            assert (await value(connected, "VisionSystem.VisionStateMachine.CurrentState")).Text == "Halted"
            assert await call(connected, "VisionStateMachine.Reset", None, None, None) == 0
            await is_at(connected, "ContinuousExecution")

            async def heard() -> bool:
                return len(ears.heard) >= 3

            await eventually(heard)
            said = [one.Message.Text for one in ears.heard]
            assert said == ["Ready to ContinuousExecution", "ContinuousExecution to Halted", "Halted to ContinuousExecution"]

        in_session(lab, me, go)
