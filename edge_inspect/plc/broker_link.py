"""One connection to an MQTT broker, kept by paho in a thread of its own; a bounded queue while the broker is away."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_inspect.errors import PlcError
from edge_inspect.time_left import THE_END

QOS = 1
KEEP_ALIVE_S = 5
"""A station whose network is cut is given up by the broker after one and a half of these, and its last will is told [s]."""
GOODBYE_S = 1.0
logger = logging.getLogger(__name__)


class Command(Protocol):
    """Takes a command, in paho's thread."""

    def __call__(self, payload: bytes, *, retained: bool) -> None:
        """What was published, and whether the broker had kept it from some other day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and how it is spoken to. The password does not show in a representation of it.

    Attributes:
        host, port: its address.
        topic: everything the station says is below it.
        username, password: its account, None without one.
        tls: encrypt, and check the broker's certificate.
        ca_file: certificates that may have signed the broker's; None takes the system's.
        cert_file, key_file: the station's own certificate and key, None without.
        queue: messages that may wait for the broker.
    """

    host: str
    port: int
    topic: str
    username: str | None
    password: str | None
    tls: bool
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    queue: int

    def __repr__(self) -> str:
        """Without the password."""
        return f"Broker({self.host}:{self.port}, topic={self.topic!r}, username={self.username!r}, tls={self.tls})"


class BrokerLink:
    """Publishes JSON below one topic.

    Attributes:
        dropped: messages that found the queue full.
        trouble: why nothing arrives now; "" while the broker listens.
    """

    def __init__(self, broker: Broker, *, will: dict[str, Any], on_connected: Callable[[], None], on_command: Command | None):
        """Start to connect, for ever.

        Args:
            broker: where and how.
            will: what the broker tells under `state` when this process dies.
            on_connected: called after every connection, in paho's thread.
            on_command: takes what arrives under `command` and whether it was retained; None subscribes to nothing.

        Raises:
            PlcError: a certificate or key cannot be used.
        """
        self.dropped = 0
        self.trouble = f"plc: mqtt: {broker.host} port {broker.port} has not answered yet; messages wait for it"
        self._broker = broker
        self._on_connected, self._on_command = on_connected, on_command
        self._client = open_client(broker, f"edge-inspect {broker.topic}")
        self._client.max_queued_messages_set(broker.queue)
        self._client.will_set(self._path("state"), json.dumps(will), qos=QOS, retain=True)
        self._client.on_connect, self._client.on_disconnect, self._client.on_message = self._connected, self._gone, self._arrived
        self._client.connect_async(broker.host, broker.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def publish(self, name: str, document: dict[str, Any], *, retain: bool = False) -> bool:
        """Queue a message and return at once, delivered at least once when the broker listens; whether it found room."""
        sent = self._publish(name, document, retain=retain)
        if sent.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1
            if self.trouble:
                self.trouble = (
                    f"plc: mqtt: {self._broker.queue} messages wait for the broker, {self.dropped} dropped so far; is it running?"
                )
            return False
        return True

    def close(self, last_word: dict[str, Any]) -> None:
        """Say the last word, where the broker listens, and hang up."""
        if not self.trouble:
            try:
                self._publish("state", last_word, retain=True).wait_for_publish(THE_END.at_most(GOODBYE_S))
            except (RuntimeError, ValueError) as error:
                logger.info("mqtt: the last word was not said: %s", error)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, name: str, document: dict[str, Any], *, retain: bool) -> mqtt.MQTTMessageInfo:
        return self._client.publish(self._path(name), json.dumps(document, allow_nan=False), qos=QOS, retain=retain)

    def _path(self, name: str) -> str:
        return f"{self._broker.topic}/{name}"

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._gone_for(f"the broker refuses the station: {reason}; check username and password")
            return
        logger.info("mqtt: %s port %d listens", self._broker.host, self._broker.port)
        self.trouble = ""
        if self._on_command is not None:
            self._client.subscribe(self._path("command"), qos=QOS)
        self._on_connected()

    def _gone(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self.trouble and reason.is_failure:
            self._gone_for(f"the broker is away ({reason}); messages wait for it")

    def _gone_for(self, why: str) -> None:
        self.trouble = f"plc: mqtt: {self._broker.host} port {self._broker.port}: {why}"
        logger.warning("%s", self.trouble)

    def _arrived(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self._on_command is not None:
            self._on_command(bytes(message.payload), retained=bool(message.retain))


def open_client(broker: Broker, client_id: str) -> mqtt.Client:
    """A client that connects again for ever, secured as the station file says; nothing is connected yet.

    Raises:
        PlcError: a certificate or key cannot be used.
    """
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id[:60])
    client.reconnect_delay_set(min_delay=1, max_delay=2)
    client.on_connect_fail = lambda *_: None
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    try:
        if broker.tls:
            client.tls_set(ca_certs=_text(broker.ca_file), certfile=_text(broker.cert_file), keyfile=_text(broker.key_file))
    except (OSError, ValueError) as error:
        raise PlcError(f"plc: mqtt: a certificate or key cannot be used: {error}; check ca_file, cert_file and key_file") from error
    return client


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
