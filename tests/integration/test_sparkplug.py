"""The station as a Sparkplug Edge Node: mosquitto between it and a host, and payloads read and written by a library nobody here wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_inspect.datatypes import Action, Deed, GateShown, Notices, Outcome, Verdict
from edge_inspect.errors import ConfigError, PlcError
from edge_inspect.plc.mqtt import MqttPlc, open_mqtt
from edge_inspect.testing import check_plc

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra sparkplug)")
pytest.importorskip("google.protobuf", reason="protobuf is not installed (extra sparkplug)")
from edge_inspect.plc import sparkplug  # noqa: E402 - needs both
from tests.integration.test_mqtt_broker import (  # noqa: E402 - needs the first
    LATER_NS,
    MOSQUITTO,
    WITHIN_S,
    Mosquitto,
    eventually,
    inspection_of,
)

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed (apt install mosquitto)")
NAMES = {"group": "plant", "node": "cell-3"}
INT64, DOUBLE, BOOLEAN, STRING = "Int64", "Double", "Boolean", "String"
PEER = """
const spb = require("sparkplug-payload").get("spBv1.0");
const plain = (key, value) => (value && typeof value === "object" && "low" in value && "high" in value)
  ? value.high * 4294967296 + (value.low >>> 0) : typeof value === "bigint" ? Number(value) : value;
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  const asked = JSON.parse(line);
  console.log(asked.decode
    ? JSON.stringify(spb.decodePayload(Buffer.from(asked.decode, "hex")), plain)
    : JSON.stringify(Buffer.from(spb.encodePayload(asked.encode)).toString("hex")));
});
"""


class Codec:
    """sparkplug-payload (npm, Eclipse Tahu) in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(["node", "peer.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._one_at_a_time = threading.Lock()  # the host asks from its own thread

    def decode(self, content: bytes) -> dict[str, Any]:
        found: dict[str, Any] = self._ask({"decode": content.hex()})
        return found

    def encode(self, *metrics: dict[str, Any]) -> bytes:
        return bytes.fromhex(self._ask({"encode": {"timestamp": 1, "metrics": [{"timestamp": 1, **metric} for metric in metrics]}}))

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codec]:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    folder = tmp_path_factory.mktemp("sparkplug")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "sparkplug-payload@1.0.3"]
    try:
        subprocess.run(words, cwd=folder, capture_output=True, timeout=60, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")
    (folder / "peer.js").write_text(PEER, encoding="utf-8")
    codec = Codec(folder)
    yield codec
    codec.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


class Host:
    """A host application: hears everything below the namespace, decodes it, and may be the primary one."""

    def __init__(self, broker: Mosquitto, codec: Codec) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._codec = codec
        self.subscribed = False
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", qos=1)
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.on_message = self._keep
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        eventually(lambda: self.subscribed)

    def _keep(self, _client: Any, _data: Any, message: Any) -> None:
        _, first, *rest = message.topic.split("/")
        if first == "STATE" or rest[0] == "NCMD":
            return
        assert (first, rest[1]) == ("plant", "cell-3")
        assert not message.retain
        self.heard.append((rest[0], self._codec.decode(message.payload)))

    def of(self, verb: str) -> list[dict[str, Any]]:
        return [payload for said, payload in self.heard if said == verb]

    def command(self, *metrics: dict[str, Any], retain: bool = False) -> None:
        self.client.publish("spBv1.0/plant/NCMD/cell-3", self._codec.encode(*metrics), qos=0, retain=retain).wait_for_publish(WITHIN_S)

    def state(self, online: bool, timestamp: int) -> None:
        said = json.dumps({"online": online, "timestamp": timestamp})
        self.client.publish("spBv1.0/STATE/scada", said, qos=1, retain=True).wait_for_publish(WITHIN_S)

    def results(self, *, since: int = 0) -> list[tuple[int, bool]]:
        """Sequence and whether it is historical, of each result heard, by the aliases of the birth before it."""
        found, names = [], {}
        for verb, payload in self.heard[since:]:
            if verb == "NBIRTH":
                names = {metric["alias"]: metric["name"] for metric in payload["metrics"] if "alias" in metric}
            said = payload["metrics"] if verb == "NDATA" else ()
            found += [(one["value"], bool(one.get("isHistorical"))) for one in said if names[one["alias"]] == "Result/Sequence"]
        return found


@contextmanager
def host_on(broker: Mosquitto, codec: Codec) -> Iterator[Host]:
    host = Host(broker, codec)
    try:
        yield host
    finally:
        host.client.disconnect()
        host.client.loop_stop()


@contextmanager
def node(broker: Mosquitto, *, deadline_ms: float = 60_000, **options: Any) -> Iterator[MqttPlc]:
    names = NAMES | {key: options.pop(key) for key in list(options) if key == "host"}
    given = {"tls": False, "sparkplug": sparkplug.Sparkplug.model_validate(names), **options}
    with open_mqtt(deadline_ms=deadline_ms, host="127.0.0.1", port=broker.port, **given) as plc:
        yield plc


def part(plc: MqttPlc, verdict: Verdict = Verdict.OK) -> None:
    plc.emit(inspection_of(plc.begin(time.monotonic_ns() + LATER_NS), verdict))


def quietly_part(plc: MqttPlc) -> None:
    with pytest.raises(PlcError, match="results wait"):
        part(plc)


def by_name(payload: dict[str, Any]) -> dict[str, Any]:
    return {metric["name"]: metric for metric in payload["metrics"]}


def values(payload: dict[str, Any], birth: dict[str, Any]) -> dict[str, Any]:
    names = {metric["alias"]: metric["name"] for metric in birth["metrics"] if "alias" in metric}
    return {names[metric["alias"]]: metric["value"] for metric in payload["metrics"]}


def seqs(host: Host) -> list[int]:
    return [payload["seq"] for verb, payload in host.heard if verb != "NDEATH"]


def test_the_wire_keeps_its_promises(broker: Mosquitto) -> None:
    @contextmanager
    def opened() -> Iterator[MqttPlc]:
        with node(broker, deadline_ms=1000) as plc:
            eventually(lambda: plc.connected)
            yield plc

    check_plc(opened)


def test_birth_data_and_death_as_another_library_reads_them(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host:
        before_ms = time.time() * 1000
        with node(broker) as plc:
            eventually(lambda: plc.connected)
            plc.ready(True)
            for verdict in (Verdict.OK, Verdict.NG, Verdict.FAULT):
                part(plc, verdict)
            eventually(lambda: len(host.results()) == 3)
        eventually(lambda: host.of("NDEATH"))
        heard = list(host.heard)
    assert heard[0][0] == "NBIRTH"
    assert [verb for verb, _ in heard].count("NBIRTH") == 1
    assert heard[-1][0] == "NDEATH"
    assert seqs(host) == list(range(len(heard) - 1))
    birth = heard[0][1]
    metrics = by_name(birth)
    assert (metrics["bdSeq"]["type"], metrics["bdSeq"]["value"]) == (INT64, 0)
    assert (metrics["Node Control/Rebirth"]["type"], metrics["Node Control/Rebirth"]["value"]) == (BOOLEAN, False)
    assert "alias" not in metrics["Node Control/Rebirth"]
    assert "alias" not in metrics["bdSeq"]
    assert "Command/Job" not in metrics
    aliases = [metric["alias"] for metric in birth["metrics"] if "alias" in metric]
    assert len(set(aliases)) == len(aliases) == len(birth["metrics"]) - 2
    assert (metrics["Result/Score"]["type"], metrics["Result/Score"].get("value")) == (DOUBLE, None)
    assert all(before_ms - 1000 <= metric["timestamp"] <= time.time() * 1000 for metric in birth["metrics"])
    data = [values(payload, birth) for verb, payload in heard if verb == "NDATA"]
    results = [one for one in data if "Result/Sequence" in one]
    told = ("Result/Sequence", "Result/Verdict", "Result/Pass", "Result/Score", "Result/Part", "Result/Region Count")
    assert [tuple(one[name] for name in told) for one in results] == [
        (1001, "OK", True, 1.5, "part 1", 0),
        (1002, "NG", False, 1.5, "part 2", 1),
        (1003, "FAULT", False, 1.5, "part 3", 0),
    ]
    assert json.loads(results[1]["Result/Document"])["regions"][0]["box"] == [1, 2, 3, 4]
    assert "Ready" in {one.get("State") for one in data}
    (died,) = [payload for verb, payload in heard if verb == "NDEATH"]
    assert [(metric["name"], metric["type"], metric["value"]) for metric in died["metrics"]] == [("bdSeq", INT64, 0)]
    assert "seq" not in died or died["seq"] is None


NOTICES_AND_GATE = {
    "Notices/Check Light": False,
    "Notices/Recalibrate": False,
    "Notices/Challenge Due": False,
    "Notices/Challenge Running": False,
    "Gate/Reject": False,
    "Gate/Clearing": False,
}


def test_notices_and_the_gate_are_told_as_they_change_and_stand_in_a_birth(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host, node(broker) as plc:
        eventually(lambda: host.of("NBIRTH"))

        def shown(since: int = 0) -> dict[str, Any]:
            """Notices and gate, as a host knows them from what it has heard since."""
            birth = host.of("NBIRTH")[0]
            said = [values(payload, birth) for verb, payload in host.heard[since:] if verb == "NDATA"]
            known = {name: value for one in said for name, value in one.items() if name in NOTICES_AND_GATE}
            return {name: by_name(birth)[name].get("value") for name in NOTICES_AND_GATE} | known if since == 0 else known

        eventually(lambda: shown() == NOTICES_AND_GATE)
        before = len(host.heard)
        plc.notice(Notices(check_light=True, challenge_running=True))
        plc.show_gate(GateShown(reject=True))
        on = {"Notices/Check Light": True, "Notices/Challenge Running": True, "Gate/Reject": True}
        eventually(lambda: shown(before) == on)
        plc.notice(Notices(recalibrate=True, challenge_due=True))
        plc.show_gate(GateShown(reject=True, clearing=True))
        now = NOTICES_AND_GATE | dict.fromkeys(("Notices/Recalibrate", "Notices/Challenge Due", "Gate/Reject", "Gate/Clearing"), True)
        eventually(lambda: shown() == now)
        host.command({"name": "Node Control/Rebirth", "type": "Boolean", "value": True})
        eventually(lambda: len(host.of("NBIRTH")) == 2)
        birth = by_name(host.of("NBIRTH")[1])
    assert {name: (birth[name]["type"], birth[name]["value"]) for name in now} == {name: (BOOLEAN, value) for name, value in now.items()}


def test_seq_goes_from_255_to_0(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host, node(broker) as plc:
        eventually(lambda: plc.connected)
        for _ in range(300):
            part(plc)
        eventually(lambda: len(host.results()) == 300)
        assert seqs(host) == [number % 256 for number in range(len(host.heard))]
        assert [sequence for sequence, _ in host.results()] == list(range(1001, 1301))


CHILD = """
import sys, time
from edge_inspect.plc.mqtt import open_mqtt
from edge_inspect.plc.sparkplug_names import Sparkplug
names = Sparkplug(group="plant", node="cell-3")
with open_mqtt(deadline_ms=1000, host="127.0.0.1", port=int(sys.argv[1]), tls=False, sparkplug=names) as plc:
    while not plc.connected:
        time.sleep(0.01)
    print("connected", flush=True)
    time.sleep(600)
"""


def test_the_broker_tells_the_death_of_a_station_that_is_killed_with_the_number_of_its_birth(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host:
        for _ in range(2):
            process = subprocess.Popen([sys.executable, "-c", CHILD, str(broker.port)], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "connected\n"
            eventually(lambda: host.heard and host.heard[-1][0] == "NBIRTH")
            process.kill()
            process.communicate()
            eventually(lambda: host.heard[-1][0] == "NDEATH")
        assert [verb for verb, _ in host.heard if verb != "NDATA"] == ["NBIRTH", "NDEATH"] * 2
        births, deaths = host.of("NBIRTH"), host.of("NDEATH")
    assert [by_name(birth)["bdSeq"]["value"] for birth in births] == [by_name(death)["bdSeq"]["value"] for death in deaths]


def test_a_broker_that_is_away_costs_no_result_and_bdseq_counts_the_sessions(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host, node(broker, host="scada") as plc:
        host.state(True, 1)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: len(host.results()) == 1)
        host.subscribed = False
        broker.kill()
        eventually(lambda: not plc.connected)
        for _ in range(3):
            quietly_part(plc)
        since = len(host.heard)
        broker.start()
        eventually(lambda: host.subscribed)
        host.state(True, 2)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: (1005, False) in host.results(since=since))
        assert host.results(since=since) == [(1001, True), (1002, True), (1003, True), (1004, True), (1005, False)]
        births = host.of("NBIRTH")
        assert [by_name(birth)["bdSeq"]["value"] for birth in births] == [0, 1]
        assert births[1]["seq"] == 0
        assert by_name(births[1])["Result/Sequence"]["value"] == 1004
        host.subscribed = False
        broker.kill()
        broker.start()
        eventually(lambda: host.subscribed)
        host.state(True, 3)
        eventually(lambda: len(host.of("NBIRTH")) == 3)
        assert by_name(host.of("NBIRTH")[2])["bdSeq"]["value"] == 2


def test_a_queue_that_is_full_drops_the_oldest_and_counts_them(broker: Mosquitto, codec: Codec) -> None:
    broker.kill()
    with node(broker, queue=2) as plc:
        for _ in range(5):
            quietly_part(plc)
        eventually(lambda: plc.dropped == 3)
        with pytest.raises(PlcError, match="2 results wait, 3 dropped so far"):
            eventually(lambda: plc.emit(inspection_of(plc.begin(time.monotonic_ns() + LATER_NS))))
        broker.start()
        with host_on(broker, codec) as host:
            eventually(lambda: plc.connected)
            host.command({"name": "Node Control/Rebirth", "type": "Boolean", "value": True})
            eventually(lambda: host.of("NBIRTH"))
            assert by_name(host.of("NBIRTH")[-1])["Result/Sequence"]["value"] == 1006


def listened(plc: MqttPlc) -> list[Action]:
    actions: list[Action] = []
    plc.audit_to(actions.append)
    return actions


def test_a_host_asks_for_a_rebirth_and_gets_everything_under_the_same_number(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host, node(broker) as plc:
        actions = listened(plc)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(host.results)
        host.command({"name": "Node Control/Rebirth", "type": "Boolean", "value": True})
        eventually(lambda: len(host.of("NBIRTH")) == 2)
        part(plc)
        eventually(lambda: len(host.results()) == 2)
        first, second = host.of("NBIRTH")
        after = seqs(host)[seqs(host).index(0, 1) :]
    assert by_name(first)["bdSeq"]["value"] == by_name(second)["bdSeq"]["value"] == 0
    assert by_name(first).keys() == by_name(second).keys()
    assert by_name(second)["Result/Sequence"]["value"] == 1001
    assert after == list(range(len(after)))
    assert host.results() == [(1001, False), (1002, False)]
    assert [(action.deed, action.outcome, action.wire) for action in actions] == [(Deed.REBIRTH, Outcome.DONE, "mqtt")]


@pytest.mark.parametrize("by", ["name", "alias"])
def test_a_host_changes_the_job_where_it_may(broker: Mosquitto, codec: Codec, by: str) -> None:
    with host_on(broker, codec) as host, node(broker, commands=True) as plc:
        actions = listened(plc)
        eventually(lambda: host.of("NBIRTH"))
        metric = by_name(host.of("NBIRTH")[0])["Command/Job"]
        host.command({by: metric[by], "type": "Int32", "value": 7})
        request = plc.poll(WITHIN_S)
        assert request is not None
        assert request.job == 7
        host.command({by: metric[by], "type": "Int32", "value": 8})
        eventually(lambda: any(action.subject == "job 8" for action in actions))
        plc.answer(request, job=7)
        birth = host.of("NBIRTH")[0]

        def answers() -> list[dict[str, Any]]:
            said = (values(payload, birth) for payload in host.of("NDATA"))
            return [json.loads(one["Command/Answer"]) for one in said if "Command/Answer" in one]

        eventually(lambda: len(answers()) == 2)
        assert [(answer["job"], answer["done"]) for answer in answers()] == [(8, False), (7, True)]
        eventually(lambda: 7 in [values(payload, birth).get("Job") for payload in host.of("NDATA")])
    assert [(action.outcome, action.subject) for action in actions] == [
        (Outcome.WANTED, "job 7"),
        (Outcome.REFUSED, "job 8"),
        (Outcome.DONE, "job 7"),
    ]


def test_what_is_no_command_does_nothing_and_is_told(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host:
        host.command({"name": "Node Control/Rebirth", "type": "Boolean", "value": True}, retain=True)
        with node(broker) as plc:
            actions = listened(plc)
            eventually(lambda: host.of("NBIRTH"))
            host.client.publish("spBv1.0/plant/NCMD/cell-3", b"\xff\xff no payload")
            host.command({"name": "Command/Job", "type": "Int32", "value": 7})
            host.command({"name": "State", "type": "String", "value": "Ready"})
            host.command({"name": "Node Control/Rebirth", "type": "Boolean", "value": False})
            host.command({"alias": 900, "type": "Int32", "value": 7})
            eventually(lambda: len(actions) == 6)
            assert plc.poll(0.1) is None
            assert len(host.of("NBIRTH")) == 1
    assert {(action.deed, action.outcome) for action in actions} == {(Deed.REQUEST, Outcome.REFUSED)}
    assert [action.reason for action in actions[:2]] == ["a retained command is one of some other day", "no Sparkplug payload"]
    assert [action.subject for action in actions[2:]] == ["Command/Job", "State", "Node Control/Rebirth", ""]


def test_with_a_primary_host_results_wait_until_it_is_online(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host, node(broker, host="scada") as plc:
        eventually(lambda: "primary host scada is not online" in plc._messages.trouble)
        quietly_part(plc)
        host.client.publish("spBv1.0/STATE/another", '{"online": true, "timestamp": 5}', qos=1).wait_for_publish(WITHIN_S)
        for wrong in ("ONLINE", "[]", '{"online": 1, "timestamp": 5}', '{"online": true, "timestamp": "5"}'):
            host.client.publish("spBv1.0/STATE/scada", wrong, qos=1).wait_for_publish(WITHIN_S)
        time.sleep(0.3)
        assert host.heard == []
        host.state(True, 1000)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: len(host.results()) == 2)
        assert host.results() == [(1001, True), (1002, False)]

        host.state(False, 999)  # older than the last: of a host that has come back since
        part(plc)
        eventually(lambda: len(host.results()) == 3)
        assert host.of("NDEATH") == []

        host.state(False, 1001)
        eventually(lambda: len(host.of("NDEATH")) == 1)
        eventually(lambda: "primary host scada is not online" in plc._messages.trouble)
        quietly_part(plc)
        since = len(host.heard)
        time.sleep(2.5)  # it has come back to the broker by now, and says nothing
        assert len(host.of("NBIRTH")) == 1
        host.state(True, 2000)
        eventually(lambda: len(host.of("NBIRTH")) == 2)
        eventually(lambda: (1004, True) in host.results(since=since))
        assert [by_name(one)["bdSeq"]["value"] for one in (*host.of("NBIRTH"), *host.of("NDEATH"))] == [0, 1, 0]


def test_a_station_that_stops_while_it_waits_says_nothing(broker: Mosquitto, codec: Codec) -> None:
    with host_on(broker, codec) as host:
        with node(broker, host="scada"):
            time.sleep(0.2)
        assert host.heard == []


def test_a_broker_that_refuses_the_station_is_told_and_results_wait(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous false")
    try:
        with node(broker) as plc:
            eventually(lambda: "the broker refuses the station" in plc._messages.trouble)
            quietly_part(plc)
            eventually(lambda: "check username and password; 1 results wait" in plc._messages.trouble)
    finally:
        broker.kill()


def test_either_a_topic_or_sparkplug_is_given() -> None:
    for options in ({}, {"topic": "a/b", "sparkplug": sparkplug.Sparkplug(group="a", node="b")}):
        with (
            pytest.raises(ConfigError, match="give either `topic`, for JSON, or `sparkplug`"),
            open_mqtt(deadline_ms=1, host="127.0.0.1", **options),
        ):
            pytest.fail("opened")
