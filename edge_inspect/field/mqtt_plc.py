"""Who listens behind a broker, as a fake PLC of the wire `mqtt`: takes results, keeps a ledger, and misbehaves when asked to.

MQTT takes no triggers, so that a part is asked for by another way (`next_part`): in a trial the rule station's standard input, which stands
in for the line's light barrier. QoS 1 is at least once: a copy of a result, the same to the letter, is no second result and is counted as
repeated.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import Misbehaviour
from edge_inspect.field.plc_ledger import Answer, Ledger, percentiles
from edge_inspect.plc.signals import RESULT_CODE, Trouble

CLIENT_ID = "edge-inspect fake plc"
KEEP_ALIVE_S = 5
AWAY_S = 0.05
JOBS = 1000
POSSIBLE = frozenset({Misbehaviour.NO_ACK, Misbehaviour.SLOW_SCAN, Misbehaviour.DISCONNECT, Misbehaviour.JOB_CHANGE})
"""A broker knows no trigger that could come twice. What the others are here, `FakeSubscriber` says."""


class FakeSubscriber:
    """A subscriber with a session of its own at the broker; a context manager.

    What is done wrong with a part: `no-ack`: its result is not acknowledged, the connection is dropped and the broker delivers it again.
    `slow-scan`: nobody listens while it is inspected. `disconnect`: the broker is killed before it and started again after it.
    `job-change`: a command is published with it, and its answer awaited.

    Attributes:
        answers: every result, as they came.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int,
        topic: str,
        next_part: Callable[[], int] | None = None,
        around_part: Callable[[Callable[[], None]], None] = lambda part: part(),
        answer_timeout_s: float = 5.0,
        session: bool = True,
    ) -> None:
        """Nothing is connected yet.

        Args:
            host: address of the broker.
            port: its port.
            topic: of the station.
            next_part: has one part inspected, and gives its acquisition; None where a line does that by itself.
            around_part: calls what it is given while the broker is away, for `disconnect`.
            answer_timeout_s: longest wait for a result [s].
            session: have the broker keep what comes while nobody listens; its name is then taken at that broker.
        """
        self._session = session
        self._where = (host, port)
        self._topic, self._next_part, self._around_part = topic, next_part, around_part
        self._answer_timeout_s = answer_timeout_s
        self._changed = threading.Condition()
        self._documents: dict[int, dict[str, Any]] = {}
        self._asked_at: dict[int, float] = {}
        self._job_answers: list[dict[str, Any]] = []
        self._deaf = self._subscribed = False
        self._cycles = self._doubled = self._repeated = 0
        self.answers: list[Answer] = []
        self._client = self._open()

    def __enter__(self) -> FakeSubscriber:
        """Connect and subscribe.

        Raises:
            PlcError: no broker listens there.
        """
        self._connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hang up."""
        self._hang_up()

    def drive(
        self,
        parts: int,
        *,
        each: Callable[[Answer | None], None] = lambda _: None,
        choose: Callable[[], frozenset[Misbehaviour]] = frozenset,
    ) -> Ledger:
        """Have `parts` parts inspected and take their results.

        Args:
            parts: how many.
            each: called with the answer of each part, None for one that got none.
            choose: called before each part for what to do wrong with it.
        """
        for _ in range(parts):
            self._cycles += 1
            each(self._one(choose()))
        return self.ledger()

    def listen(self, parts: int, *, each: Callable[[Answer | None], None] = lambda _: None) -> Ledger:
        """Take the results of a line that runs by itself; one whose sequence is missing is lost."""
        first = None
        while self._cycles < parts:
            seen = len(self.answers)
            if not self._wait(lambda seen=seen: len(self.answers) > seen):  # type: ignore[misc]
                break
            answer = self.answers[seen]
            first = answer.sequence if first is None else first
            self._cycles = self.answers[-1].sequence - first + 1
            each(answer)
        return self.ledger()

    def start_anew(self) -> None:
        """The station was started again and counts from 1: forget what the one before has said."""
        with self._changed:
            self._documents.clear()
            self._asked_at.clear()

    def ledger(self) -> Ledger:
        """What it has counted so far."""
        ok, ng, fault = (sum(answer.verdict is verdict for answer in self.answers) for verdict in (Verdict.OK, Verdict.NG, Verdict.FAULT))
        return Ledger(
            cycles=self._cycles,
            triggers=self._cycles,
            ok=ok,
            ng=ng,
            fault=fault,
            lost=self._cycles - len(self.answers),
            doubled=self._doubled,
            unasked=0,
            overrun=0,
            latency_ms=percentiles([1000 * answer.latency_s for answer in self.answers if answer.latency_s > 0]),
            repeated=self._repeated,
        )

    # ---- one part ----

    def _one(self, wrong: frozenset[Misbehaviour]) -> Answer | None:
        if Misbehaviour.DISCONNECT in wrong:
            acquisition = self._while_the_broker_is_away()
        elif Misbehaviour.SLOW_SCAN in wrong:
            acquisition = self._while_nobody_listens()
        else:
            self._deaf = Misbehaviour.NO_ACK in wrong
            acquisition = self._ask()
        if self._deaf:
            self._wait(lambda: not self._deaf)
            self._hang_up()
            self._connect()
        if Misbehaviour.JOB_CHANGE in wrong:
            self._change_job(self._cycles % JOBS)
        self._wait(lambda: acquisition in self._documents)
        return next((answer for answer in reversed(self.answers) if answer.acquisition == acquisition), None)

    def _ask(self) -> int:
        if self._next_part is None:
            raise PlcError("fake PLC: nobody can be asked for a part over MQTT; give --spawn, or let the line run by itself")
        asked = time.perf_counter()
        acquisition = self._next_part()
        with self._changed:
            self._asked_at[acquisition] = asked
        return acquisition

    def _while_the_broker_is_away(self) -> int:
        acquisitions: list[int] = []
        self._around_part(lambda: acquisitions.append(self._ask()))
        return acquisitions[0]

    def _while_nobody_listens(self) -> int:
        self._hang_up()
        acquisition = self._ask()
        time.sleep(AWAY_S)
        self._connect()
        return acquisition

    def _change_job(self, job: int) -> None:
        answered = len(self._job_answers)
        self._client.publish(f"{self._topic}/command", json.dumps({"job": job}), qos=1)
        if not self._wait(lambda: len(self._job_answers) > answered):
            raise PlcError(f"fake PLC: no answer to a job change within {self._answer_timeout_s:g} s; has the station commands: true?")

    def _wait(self, is_so: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(is_so, self._answer_timeout_s)

    # ---- the broker ----

    def _open(self) -> mqtt.Client:
        name = CLIENT_ID if self._session else ""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=not self._session, manual_ack=True)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda client, *_: client.subscribe(f"{self._topic}/#", qos=1)
        client.on_subscribe = lambda *_: self._set_subscribed(True)
        client.on_disconnect = lambda *_: self._set_subscribed(False)
        client.on_message = self._arrived
        return client

    def _connect(self) -> None:
        try:
            self._client.connect(*self._where, keepalive=KEEP_ALIVE_S)
        except OSError as error:
            raise PlcError(f"fake PLC: no broker answers at {self._where[0]} port {self._where[1]}: {error}; is it running?") from error
        self._client.loop_start()
        if not self._wait(lambda: self._subscribed):
            raise PlcError(f"fake PLC: the broker at {self._where[0]} port {self._where[1]} takes no subscription to {self._topic}/#")

    def _hang_up(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client = self._open()
        self._set_subscribed(False)

    def _set_subscribed(self, is_so: bool) -> None:
        with self._changed:
            self._subscribed = is_so
            self._changed.notify_all()

    def _arrived(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            is_result = message.topic == f"{self._topic}/result"
            if is_result:
                self._take(json.loads(message.payload))
            elif message.topic == f"{self._topic}/answer":
                self._job_answers.append(json.loads(message.payload))
            if not (is_result and self._deaf):
                client.ack(message.mid, message.qos)
            self._deaf = self._deaf and not is_result
            self._changed.notify_all()

    def _take(self, document: dict[str, Any]) -> None:
        acquisition = document["acquisition"]
        before = self._documents.get(acquisition)
        if before is not None:
            self._repeated += before == document
            self._doubled += before != document
            return
        self._documents[acquisition] = document
        asked = self._asked_at.pop(acquisition, None)
        self.answers.append(answer_from_document(document, 0.0 if asked is None else time.perf_counter() - asked))


def answer_from_document(document: dict[str, Any], latency_s: float) -> Answer:
    """The result of a JSON document (docs/schemas/mqtt-result.json), and how long it took [s]; 0 where nobody asked."""
    regions = document["regions"]
    left, top, right, bottom = regions[0]["box"] if regions else (0, 0, 0, 0)
    return Answer(
        acquisition=document["acquisition"],
        code=RESULT_CODE[Verdict(document["verdict"])],
        fault=Trouble(document["fault"]),
        score=float("nan") if document["score"] is None else document["score"],
        threshold=float("nan") if document["threshold"] is None else document["threshold"],
        region_count=len(regions),
        box=(left, top, right, bottom),
        sequence=document["sequence"],
        latency_s=latency_s,
    )
