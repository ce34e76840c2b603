"""The MQTT wire against mosquitto: a subscriber, a broker that is killed and comes back, a station that is killed, TLS and passwords."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_inspect.datatypes import Action, Deed, GateShown, Inspection, Latency, Notices, Outcome, PlcRequest, Region, RequestKind, Verdict
from edge_inspect.errors import ConfigError, DeadlineMissed, PlcError
from edge_inspect.plc.mqtt import PASSWORD_VARIABLE, MqttPlc, open_mqtt
from edge_inspect.testing import check_plc

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra mqtt)")
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed (apt install mosquitto)")
WITHIN_S = 30.0
AS_ROOT = ("user root",) if os.getuid() == 0 else ()
"""mosquitto would give root away and could not write into the test's folder."""
LATER_NS = 10**12
TOPIC = "plant/cell-3"
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.005)


def inspection_of(acquisition: int, verdict: Verdict = Verdict.OK) -> Inspection:
    region = Region(left=1, top=2, right=3, bottom=4, centre_x=2.0, centre_y=3.0, area_px=4.0, area_mm2=None, peak=3.0, mean=2.0)
    return Inspection(
        sequence=1000 + acquisition,
        acquisition=acquisition,
        part_id=f"part {acquisition}",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict,
        reason="by rule",
        score=1.5,
        threshold=2.25,
        regions=(region,) if verdict is Verdict.NG else (),
        recipe="cell",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """A broker that can be killed and started again on its port."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self.file = folder / "mosquitto.conf"
        self.file.write_text("\n".join([f"listener {self.port} 127.0.0.1", *(lines or ("allow_anonymous true",)), ""]))
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self.listens)

    def listens(self) -> bool:
        assert self.process.poll() is None, "mosquitto has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


class Subscriber:
    """Keeps all that is said below the topic, over any number of brokers' lives."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.subscribed = False
        self.client.on_connect = lambda client, *_: client.subscribe(f"{TOPIC}/#", qos=1)
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.on_message = self._keep
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        eventually(lambda: self.subscribed)

    def _keep(self, _client: Any, _data: Any, message: Any) -> None:
        if message.topic != f"{TOPIC}/command":
            self.heard.append((message.topic.removeprefix(TOPIC + "/"), json.loads(message.payload), message.retain))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [document for topic, document, _ in self.heard if topic == name]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Subscriber]:
    subscriber = Subscriber(port)
    try:
        yield subscriber
    finally:
        subscriber.close()


@contextmanager
def wire(broker: Mosquitto, *, deadline_ms: float = 60_000, **options: Any) -> Iterator[MqttPlc]:
    with open_mqtt(deadline_ms=deadline_ms, host="127.0.0.1", port=broker.port, topic=TOPIC, **{"tls": False, **options}) as plc:
        yield plc


def part(plc: MqttPlc, verdict: Verdict = Verdict.OK) -> None:
    plc.emit(inspection_of(plc.begin(time.monotonic_ns() + LATER_NS), verdict))


def test_the_wire_keeps_its_promises(broker: Mosquitto) -> None:
    @contextmanager
    def opened() -> Iterator[MqttPlc]:
        with wire(broker, deadline_ms=1000) as plc:
            eventually(lambda: plc.connected)
            yield plc

    check_plc(opened)


def test_results_and_states_arrive_in_order_and_obey_their_schemas(broker: Mosquitto) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    with listening(broker.port) as subscriber:
        with wire(broker) as plc:
            eventually(lambda: plc.connected)
            plc.ready(True)
            for verdict in (Verdict.OK, Verdict.NG, Verdict.FAULT):
                part(plc, verdict)
            eventually(lambda: len(subscriber.of("result")) == 3)
        eventually(lambda: subscriber.of("state")[-1]["online"] is False)
        results, states = subscriber.of("result"), subscriber.of("state")
    assert [(one["sequence"], one["verdict"], one["pass"]) for one in results] == [
        (1001, "OK", True),
        (1002, "NG", False),
        (1003, "FAULT", False),
    ]
    assert (results[1]["part_id"], results[1]["regions"][0]["box"]) == ("part 2", [1, 2, 3, 4])
    assert "Ready" in {state["state"] for state in states}
    for name, documents in (("result", results), ("state", states)):
        schema = json.loads((SCHEMAS / f"mqtt-{name}.json").read_text())
        for document in documents:
            jsonschema.validate(document, schema)


def test_who_comes_later_finds_the_state_retained_and_no_old_result(broker: Mosquitto) -> None:
    with wire(broker) as plc:
        plc.ready(True)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: not plc.counters.waiting)
        time.sleep(0.2)
        with listening(broker.port) as late:
            eventually(lambda: late.heard)
            assert [(topic, document["state"], retained) for topic, document, retained in late.heard] == [("state", "Ready", True)]


def test_the_gate_and_the_notices_are_told_at_every_change(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber, wire(broker) as plc:
        eventually(lambda: plc.connected)

        def told() -> list[tuple[dict[str, bool], list[str]]]:
            return [(state["gate"], [name for name, noticed in state["notices"].items() if noticed]) for state in subscriber.of("state")]

        eventually(told)
        plc.show_gate(GateShown(reject=True))
        eventually(lambda: told()[-1] == ({"reject": True, "clearing": False}, []))
        plc.show_gate(GateShown(reject=True, clearing=True))
        eventually(lambda: told()[-1] == ({"reject": True, "clearing": True}, []))
        plc.notice(Notices(challenge_due=True, recalibrate=True))
        eventually(lambda: told()[-1] == ({"reject": True, "clearing": True}, ["recalibrate", "challenge_due"]))
        plc.show_gate(GateShown())
        eventually(lambda: told()[-1] == ({"reject": False, "clearing": False}, ["recalibrate", "challenge_due"]))


def test_fault_is_published_at_the_deadline_while_the_engine_still_works(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber, wire(broker) as plc:
        eventually(lambda: plc.connected)
        count = plc.begin(time.monotonic_ns() + 20_000_000)
        eventually(lambda: subscriber.of("result"))
        result = subscriber.of("result")[0]
        assert (result["verdict"], result["fault"], result["sequence"], result["score"]) == ("FAULT", 1, 0, None)
        with pytest.raises(DeadlineMissed):
            plc.emit(inspection_of(count))


def test_a_broker_that_is_killed_and_comes_back_gets_every_result_that_fits(broker: Mosquitto) -> None:
    with wire(broker, queue=30) as plc, listening(broker.port) as subscriber:
        plc.ready(True)
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: len(subscriber.of("result")) == 1)
        broker.kill()
        eventually(lambda: not plc.connected)
        for number in range(40):
            with pytest.raises(PlcError, match="wait for"):
                part(plc)
            eventually(lambda: not plc.counters.waiting)
            plc.show_gate(GateShown(reject=number % 2 == 1))
            time.sleep(0.005)  # the gate's edges are seen, and take no result's place
        assert 10 <= plc.dropped < 15, "a state said as the broker died may hold a place; one for each edge may not"
        subscriber.subscribed = False
        broker.start()
        eventually(lambda: plc.connected)
        part(plc)
        eventually(lambda: subscriber.subscribed and subscriber.of("state")[-1]["state"] == "Ready")
        eventually(lambda: subscriber.of("state")[-1]["gate"] == {"reject": True, "clearing": False})
        assert plc.counters.overrun == 0


def test_a_broker_that_was_away_gets_what_waited_in_order(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous true", "persistence true", f"persistence_location {tmp_path}/", *AS_ROOT)
    keeper = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="keeper", clean_session=False)
    heard: list[int] = []
    keeper.on_connect = lambda client, *_: client.subscribe(f"{TOPIC}/result", qos=1)
    keeper.on_message = lambda _client, _data, message: heard.append(json.loads(message.payload)["sequence"])
    keeper.reconnect_delay_set(1, 1)
    keeper.connect("127.0.0.1", broker.port)
    keeper.loop_start()
    try:
        with wire(broker) as plc:
            eventually(lambda: plc.connected)
            part(plc)
            eventually(lambda: heard == [1001])
            broker.process.send_signal(signal.SIGTERM)  # saves the keeper's session
            broker.process.wait()
            eventually(lambda: not plc.connected)
            for _ in range(5):
                with pytest.raises(PlcError):
                    part(plc)
            eventually(lambda: not plc.counters.waiting)
            broker.start()
            eventually(lambda: len(set(heard)) == 6)
            assert sorted(set(heard)) == list(dict.fromkeys(heard)), "in order; twice is allowed, lost is not"
            assert plc.dropped == 0
    finally:
        keeper.disconnect()
        keeper.loop_stop()
        broker.kill()


STATION = """
import sys, time
from edge_inspect.plc.mqtt import open_mqtt
with open_mqtt(deadline_ms=1000, host="127.0.0.1", port=int(sys.argv[1]), topic=sys.argv[2], tls=False) as plc:
    plc.ready(True)
    time.sleep(60)
"""


def test_a_station_that_is_killed_leaves_its_last_will(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber:
        process = subprocess.Popen([sys.executable, "-c", STATION, str(broker.port), TOPIC])
        try:
            eventually(lambda: [state for state in subscriber.of("state") if state["state"] == "Ready"])
        finally:
            process.kill()
            process.wait()
        eventually(lambda: subscriber.of("state")[-1]["online"] is False)


def test_a_job_change_is_answered_with_its_reason_and_an_old_or_wrong_command_does_nothing(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber:
        say = subscriber.client.publish
        say(f"{TOPIC}/command", '{"job": 9}', qos=1, retain=True).wait_for_publish(WITHIN_S)
        with wire(broker, commands=True) as plc:
            eventually(lambda: plc.connected)
            assert plc.poll(0.3) is None, "a retained command is one of some other day"
            say(f"{TOPIC}/command", '{"job": 2}', qos=1)
            request = plc.poll(WITHIN_S)
            assert request is not None
            assert (request.kind, request.job) == (RequestKind.JOB_CHANGE, 2)
            say(f"{TOPIC}/command", '{"job": 3}', qos=1)
            eventually(lambda: len(subscriber.of("answer")) == 1)
            plc.answer(request, job=1, error="job 2 is not in the station file")
            eventually(lambda: len(subscriber.of("answer")) == 2)
            for wrong in ("job", '{"job": true}', '{"job": 1000}', "[]"):
                say(f"{TOPIC}/command", wrong, qos=1)
            eventually(lambda: len(subscriber.of("answer")) == 6)
            assert plc.poll(0) is None
            say(f"{TOPIC}/command", '{"job": 1}', qos=1)
            request = plc.poll(WITHIN_S)
            assert request is not None
            plc.answer(request, job=1)
            eventually(lambda: len(subscriber.of("answer")) == 7)
        answers = [(answer["job"], answer["done"], answer["error"]) for answer in subscriber.of("answer")]
    assert answers[:2] == [(3, False, "another job change is under way"), (2, False, "job 2 is not in the station file")]
    assert answers[2:] == [(None, False, 'write {"job": 0 to 999}')] * 4 + [(1, True, "")]


def test_a_command_is_told_for_the_audit_record_with_the_broker_it_came_by(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber:
        say = subscriber.client.publish
        say(f"{TOPIC}/command", '{"job": 9}', qos=1, retain=True).wait_for_publish(WITHIN_S)
        with wire(broker, commands=True) as plc:
            heard: list[Action] = []
            plc.audit_to(heard.append)
            eventually(lambda: heard)
            say(f"{TOPIC}/command", "no job", qos=1)
            say(f"{TOPIC}/command", '{"job": 2}', qos=1)
            eventually(lambda: len(heard) == 3)
            say(f"{TOPIC}/command", '{"job": 3}', qos=1)
            eventually(lambda: len(heard) == 4)
            request = plc.poll(WITHIN_S)
            assert request is not None
            plc.answer(request, job=0, error="no such file")
    assert {(action.wire, action.by.address) for action in heard} == {("mqtt", f"127.0.0.1:{broker.port}")}
    assert [(action.deed, action.outcome, action.subject, action.reason) for action in heard] == [
        (Deed.JOB, Outcome.REFUSED, "job 9", "a retained command is one of some other day"),
        (Deed.REQUEST, Outcome.REFUSED, "", "no job change"),
        (Deed.JOB, Outcome.WANTED, "job 2", ""),
        (Deed.JOB, Outcome.REFUSED, "job 3", "another job change is under way"),
        (Deed.JOB, Outcome.REFUSED, "job 2", "no such file"),
    ]


def test_without_commands_nothing_that_is_published_reaches_the_station(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber, wire(broker) as plc:
        eventually(lambda: plc.connected)
        subscriber.client.publish(f"{TOPIC}/command", '{"job": 2}', qos=1).wait_for_publish(WITHIN_S)
        assert plc.poll(0.2) is None


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with TLS that knows `cell-3` by the password `let me in`."""
    if shutil.which("openssl") is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("openssl and mosquitto_passwd are not installed")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    subprocess.run(words, capture_output=True, check=True)
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(tmp_path / "passwords"), "cell-3", "let me in"], capture_output=True, check=True)
    (tmp_path / "password").write_text("let me in\n")
    for file in ("key.pem", "passwords"):  # mosquitto reads them as its own user
        (tmp_path / file).chmod(0o644)
    broker = Mosquitto(
        tmp_path,
        f"certfile {tmp_path}/ca.pem",
        f"keyfile {tmp_path}/key.pem",
        f"password_file {tmp_path}/passwords",
        "allow_anonymous false",
        *AS_ROOT,
    )
    yield broker
    broker.kill()


def test_tls_and_password_from_a_file_or_the_environment_let_the_station_in(
    secured: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"tls": True, "ca_file": tmp_path / "ca.pem", "username": "cell-3"}
    with wire(secured, **account, password_file=tmp_path / "password") as plc:
        eventually(lambda: plc.connected)
    monkeypatch.setenv(PASSWORD_VARIABLE, "let me in")
    with wire(secured, **account) as plc:
        eventually(lambda: plc.connected)


def test_a_wrong_password_is_told_and_never_shown(
    secured: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")
    with wire(secured, tls=True, ca_file=tmp_path / "ca.pem", username="cell-3") as plc:
        eventually(lambda: "refuses the station" in plc._messages.trouble)
        assert "sesame" not in repr(plc._messages._link._broker)
    assert "sesame" not in caplog.text


# paho leaves the socket of a handshake that failed to the garbage collector, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_broker_whose_certificate_nobody_has_signed_is_not_spoken_to(secured: Mosquitto) -> None:
    with wire(secured, tls=True) as plc:
        time.sleep(0.5)
        assert not plc.connected
    gc.collect()


def test_a_password_in_clear_and_files_that_cannot_be_read_are_refused(broker: Mosquitto, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in clear"), open_mqtt(deadline_ms=1, host="broker.plant", topic="a/b", tls=False, username="x"):
        pytest.fail("opened")
    with pytest.raises(ConfigError, match="password_file"), wire(broker, username="x", password_file=tmp_path / "none"):
        pytest.fail("opened")
    with pytest.raises(PlcError, match="certificate or key cannot be used"), wire(broker, tls=True, ca_file=tmp_path / "none"):
        pytest.fail("opened")


def test_a_request_that_the_wire_did_not_make_only_names_the_job(broker: Mosquitto) -> None:
    with listening(broker.port) as subscriber, wire(broker) as plc:
        plc.answer(PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=0, job=4), job=4)
        eventually(lambda: any(state["job"] == 4 for state in subscriber.of("state")))
        assert not subscriber.of("answer")
