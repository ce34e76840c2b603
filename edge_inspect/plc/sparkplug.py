"""The station as an Edge Node of Sparkplug B 3.0: its birth and death, its results as data, a host's commands.

Sparkplug has everything but the death at QoS 0, and counts it (`seq`), so that a host notices what is missing. What cannot be said now,
because the broker or the host is away, waits here, and is said as historical after the next birth; so is, a second time, what was said
within `IN_DOUBT_S` before a connection broke, since nobody knows whether it arrived. A historian files both copies under the same time, as
one.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import paho.mqtt.client as mqtt

from edge_inspect.datatypes import Deed, Inspection, Outcome
from edge_inspect.plc.broker_link import GOODBYE_S, KEEP_ALIVE_S, Broker, open_client
from edge_inspect.plc.result_document import Document
from edge_inspect.plc.signals import Result, Status
from edge_inspect.plc.sparkplug_metrics import (
    JOB_ANSWER,
    JOB_COMMAND,
    REBIRTH,
    Catalogue,
    death,
    historical,
    ms_of,
    now_ms,
    result_values,
    state_values,
)
from edge_inspect.plc.sparkplug_names import Sparkplug
from edge_inspect.plc.sparkplug_payload import Metric, Value, decode, encode
from edge_inspect.time_left import THE_END

NAMESPACE = "spBv1.0"
IN_DOUBT_S = 2.5 * KEEP_ALIVE_S
"""Longest time until a connection that is cut is known to be: two keep-alive times and some [s]."""
COUNTS = 256
"""bdSeq and seq go from 0 to 255."""
LATEST_JOB = 999

_Kept: TypeAlias = tuple[Metric, ...]
logger = logging.getLogger(__name__)


class Asked(Protocol):
    """What a host may ask for; called in paho's thread."""

    def job(self, job: int) -> None:
        """Change to this job."""

    def noted(self, deed: Deed, outcome: Outcome, subject: str, reason: str) -> None:
        """For the audit record."""


class SparkplugNode:
    """The station's messages as an Edge Node: one session after another with a broker.

    Attributes:
        dropped: results that found the queue full, the oldest of them.
    """

    def __init__(self, broker: Broker, names: Sparkplug, *, asked: Asked, commands: bool) -> None:
        """Start to connect, for ever.

        Args:
            broker: where and how.
            names: group, node and host.
            asked: hears of a host's commands.
            commands: whether a host may change the job.

        Raises:
            PlcError: a certificate or key cannot be used.
        """
        self.dropped = 0
        self._names, self._broker, self._asked, self._commands = names, broker, asked, commands
        self._catalogue = Catalogue(commands=commands)
        self._lock = threading.RLock()
        self._seq = 0
        self._connects = 0
        self._host_ms = -1
        self._why_not = "it has not answered yet"
        self._born = self._leaving = self._is_connected = False
        self._waiting: deque[_Kept] = deque()
        self._said: deque[tuple[float, _Kept]] = deque()
        self._client = self._new_client()
        self._connect()

    # ---- what the station says ----

    @property
    def trouble(self) -> str:
        """Why nothing arrives now; "" between birth and death."""
        if self._born:
            return ""
        lost = f", {self.dropped} dropped so far" if self.dropped else ""
        return f"plc: mqtt: {self._broker.host} port {self._broker.port}: {self._why_not}; {len(self._waiting)} results wait{lost}"

    def result(self, result: Result, inspection: Inspection | None) -> None:
        """Say a result, or keep it until somebody listens."""
        at_ms = now_ms() if inspection is None else ms_of(inspection.taken_at)
        with self._lock:
            self._say(self._catalogue.data(result_values(result, inspection), at_ms), keep=True)

    def state(self, status: Status) -> None:
        """Say what of the state has changed; a birth says all of it."""
        with self._lock:
            changed = self._catalogue.changed(state_values(status))
            if changed:
                self._say(self._catalogue.data(changed, now_ms()), keep=False)

    def answer(self, document: Document) -> None:
        """Say what became of a job change."""
        with self._lock:
            if self._commands:
                self._say(self._catalogue.data({JOB_ANSWER: json.dumps(document)}, now_ms()), keep=False)

    def tick(self) -> None:
        """Leave a session whose host is away, and begin the next one, which waits for the host."""
        if self._leaving:
            self._leaving = False
            self._say_goodbye()
            self._client.loop_stop()
            self._client = self._new_client()
            self._connect()

    def close(self, _status: Status) -> None:
        """Die in order, and hang up."""
        with self._lock:
            born, self._born, self._why_not = self._born, False, "the station has stopped"
        if born:
            self._say_goodbye()
        self._client.disconnect()
        self._client.loop_stop()

    def _say(self, metrics: _Kept, *, keep: bool) -> None:
        if self._born and self._send(metrics):
            if keep:
                self._said.append((time.monotonic(), metrics))
                self._forget_what_has_arrived()
        elif keep:
            self._keep([metrics])

    def _keep(self, newer: Sequence[_Kept]) -> None:
        self._waiting.extend(newer)
        while len(self._waiting) > self._broker.queue:
            self._waiting.popleft()
            self.dropped += 1

    def _forget_what_has_arrived(self) -> None:
        while self._said and time.monotonic() - self._said[0][0] > IN_DOUBT_S:
            self._said.popleft()

    def _send(self, metrics: Iterable[Metric], verb: str = "NDATA") -> bool:
        """Count it and publish it; whether the connection took it."""
        payload = encode(metrics, timestamp_ms=now_ms(), seq=self._seq)
        taken = self._client.publish(self._topic(verb), payload, qos=0).rc == mqtt.MQTT_ERR_SUCCESS
        if taken:
            self._seq = (self._seq + 1) % COUNTS
        return taken

    # ---- birth and death ----

    @property
    def _bdseq(self) -> int:
        """Of the session whose CONNECT was sent last."""
        return (self._connects - 1) % COUNTS

    def _new_client(self) -> mqtt.Client:
        client = open_client(self._broker, f"edge-inspect {self._names.group} {self._names.node}")
        client.on_pre_connect, client.on_socket_open = self._set_will, self._count_connect
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._gone, self._arrived
        return client

    def _connect(self) -> None:
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def _set_will(self, client: mqtt.Client, _data: Any) -> None:
        """The death of the session that is about to begin."""
        client.will_set(self._topic("NDEATH"), self._death(self._connects % COUNTS), qos=1)

    def _count_connect(self, _client: Any, _data: Any, _socket: Any) -> None:
        """CONNECT follows at once; a broker that cannot be reached has counted nothing."""
        self._connects += 1

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._lost(f"the broker refuses the station: {reason}; check username and password")
            return
        self._is_connected = True
        logger.info("mqtt: %s port %d listens", self._broker.host, self._broker.port)
        client.subscribe(self._topic("NCMD"), qos=1)
        if self._names.host is None:
            self._bear()
        else:
            self._why_not = f"the primary host {self._names.host} is not online"
            client.subscribe(self._host_topic, qos=1)

    def _bear(self) -> None:
        """Birth: everything as it is now; then what has waited, as what it was."""
        with self._lock:
            self._seq = 0
            self._born = self._send(self._catalogue.birth(self._bdseq), "NBIRTH")
            while self._born and self._waiting:
                self._born = self._send(historical(self._waiting[0]))
                if self._born:
                    self._said.append((time.monotonic(), self._waiting.popleft()))

    def _gone(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        was_connected, self._is_connected = self._is_connected, False
        if was_connected and reason.is_failure:  # else it has not come as far, and the reason stands already
            self._lost(f"the broker is away ({reason})")

    def _lost(self, why: str) -> None:
        with self._lock:
            self._forget_what_has_arrived()
            in_doubt = [metrics for _, metrics in self._said]
            self._said.clear()
            waiting, self._waiting = self._waiting, deque()
            self._keep([*in_doubt, *waiting])
            if self._born or self._why_not != why:
                logger.warning("plc: mqtt: %s port %d: %s", self._broker.host, self._broker.port, why)
            self._born, self._why_not = False, why

    def _say_goodbye(self) -> None:
        try:
            self._client.publish(self._topic("NDEATH"), self._death(self._bdseq), qos=1).wait_for_publish(THE_END.at_most(GOODBYE_S))
        except (RuntimeError, ValueError) as error:
            logger.info("mqtt: the death was left to the broker: %s", error)
        self._client.disconnect()

    def _death(self, bdseq: int) -> bytes:
        return encode(death(bdseq), timestamp_ms=now_ms(), seq=None)

    # ---- what a host says, in paho's thread ----

    def _arrived(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._host_topic:
            self._host_said(bytes(message.payload))
        elif message.retain:
            self._asked.noted(Deed.REQUEST, Outcome.REFUSED, "", "a retained command is one of some other day")
        else:
            self._command(bytes(message.payload))

    def _host_said(self, payload: bytes) -> None:
        """A STATE message counts if it is not older than the last one."""
        said = _state_of(payload)
        if said is None or said[1] < self._host_ms:
            return
        online, self._host_ms = said
        if self._leaving:
            return  # the next session asks anew
        if online and not self._born:
            self._bear()
        elif not online and self._born:
            self._lost(f"the primary host {self._names.host} is not online")
            self._leaving = True

    def _command(self, payload: bytes) -> None:
        try:
            metrics = decode(payload)
        except ValueError as error:
            self._asked.noted(Deed.REQUEST, Outcome.REFUSED, "", str(error))
            return
        for metric in metrics:
            self._obey(self._catalogue.name_of(metric), metric.value)

    def _obey(self, name: str, value: Value | None) -> None:
        if name == REBIRTH and value is True:
            self._asked.noted(Deed.REBIRTH, Outcome.DONE, "", "")
            if self._born:
                self._bear()
        elif name == JOB_COMMAND and self._commands and type(value) is int and value <= LATEST_JOB:
            self._asked.job(value)
        else:
            self._asked.noted(Deed.REQUEST, Outcome.REFUSED, name, "no command that this station takes")

    def _topic(self, verb: str) -> str:
        return f"{NAMESPACE}/{self._names.group}/{verb}/{self._names.node}"

    @property
    def _host_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._names.host}"


def _state_of(payload: bytes) -> tuple[bool, int] | None:
    """Online, and since when [ms]; None for what is no STATE of Sparkplug 3.0."""
    try:
        said = json.loads(payload)
        online, timestamp = said["online"], said["timestamp"]
    except (ValueError, KeyError, TypeError):
        return None
    return (online, timestamp) if type(online) is bool and type(timestamp) is int else None
