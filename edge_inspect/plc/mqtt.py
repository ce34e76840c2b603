"""The MQTT wire: results and state as JSON to a broker, job changes from it. Topics and schemas are in docs/mqtt.md.

MQTT has no acknowledgement of a PLC behind the broker. A thread takes the place of that PLC at the handshake: it takes each
result as it is shown, the FAULT of a missed deadline included, hands it to the queue of the broker's link and acknowledges it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from edge_inspect.datatypes import Inspection, PlcRequest
from edge_inspect.errors import ConfigError, PlcError, PluginError
from edge_inspect.plc.result_document import result_document, state_document
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.signals import Control, Status

if TYPE_CHECKING:
    from edge_inspect.plc.broker_link import Broker, BrokerLink

PASSWORD_VARIABLE = "EDGE_INSPECT_MQTT_PASSWORD"  # noqa: S105 - the name of it
LOOK_EVERY_S = 0.02
"""Longest time from a missed deadline until FAULT is published [s]."""
CLOSE_WITHIN_S = 5.0
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
LATEST_JOB = 999


@contextmanager
def open_mqtt(
    *,
    deadline_ms: float,
    host: str,
    topic: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^#+/\x00][^#+\x00]*[^#+/\x00]$")],
    port: Annotated[int, Field(ge=1, le=65_535)] = 8883,
    tls: bool = True,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    username: str | None = None,
    password_file: Path | None = None,
    queue: Annotated[int, Field(ge=1, le=100_000)] = 1000,
    commands: bool = False,
) -> Iterator[MqttPlc]:
    """Publish to an MQTT broker. It need not be there yet. Needs the extra `mqtt`.

    Args:
        deadline_ms: time until FAULT is said [ms]; given by the station, not by the file.
        host: address of the broker.
        topic: everything the station says is below it, as `plant/line-3/cell-3`.
        port: the broker's TCP port; 8883 is the usual one with TLS, 1883 without.
        tls: encrypt, and check the broker's certificate and name.
        ca_file: certificates that may have signed the broker's; None takes the system's.
        cert_file: the station's own certificate, for brokers that ask for one.
        key_file: its private key.
        username: the station's account; its password is in `password_file` or in the environment, never in the station file.
        password_file: file whose first line is the password (a systemd credential is one); None takes EDGE_INSPECT_MQTT_PASSWORD.
        queue: messages that may wait for a broker that is away; more are dropped and counted.
        commands: take job changes from `TOPIC/command`. Whoever may publish there changes the job: use the broker's access list.

    Yields:
        The wire.

    Raises:
        PluginError: paho-mqtt is not installed.
        ConfigError: a password would be sent in clear, or cannot be read.
        PlcError: a certificate or key cannot be used.
    """
    try:
        from edge_inspect.plc.broker_link import Broker, BrokerLink
    except ImportError as error:
        raise PluginError("plc: mqtt needs paho-mqtt; install the extra: pip install 'edge-inspect[mqtt]'") from error
    broker = Broker(
        host=host,
        port=port,
        topic=topic,
        username=username,
        password=_password(username, password_file, in_clear=not tls and host not in LOOPBACK),
        tls=tls,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        queue=queue,
    )
    plc = MqttPlc(deadline_ms=deadline_ms, broker=broker, open_link=BrokerLink, commands=commands)
    try:
        yield plc
    finally:
        plc.close()


class MqttPlc(SharedHandshake):
    """A `protocols.Plc` on an MQTT broker."""

    def __init__(self, *, deadline_ms: float, broker: Broker, open_link: Callable[..., BrokerLink], commands: bool) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="mqtt")
        self._control = Control(trigger_enable=True, buffer_results_enable=True)
        self.write(self._control)
        self._inspections: dict[int, Inspection] = {}
        self._shown: dict[str, Any] = {}
        self._asked: int | None = None
        self._why = ""
        self._link = open_link(
            broker,
            will=state_document(self.status(), online=False),
            on_connected=self._show_again,
            on_command=self._command if commands else None,
        )
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Messages dropped because too many were waiting for the broker."""
        return self._link.dropped

    @property
    def connected(self) -> bool:
        """Whether the broker listens."""
        return not self._link.trouble

    def emit(self, inspection: Inspection) -> None:
        """Hand the verdict of `inspection.acquisition` to the broker's queue.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the broker is away and the message waits (or was dropped); or nobody asked for this acquisition.
        """
        with self._changed:
            self._inspections[inspection.acquisition] = replace(inspection, evidence=None)
            try:
                super().emit(inspection)
            except PlcError:
                self._inspections.pop(inspection.acquisition)
                raise
        if self._link.trouble:
            raise PlcError(self._link.trouble)

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change: `job` is the one that runs now; `error` is why the wanted one does not."""
        if request == self._job_asked:
            self._why = error
        super().answer(request, job=job, error=error)

    def close(self) -> None:
        """Publish what is there, say goodbye and end the thread."""
        super().close()
        self._thread.join(CLOSE_WITHIN_S)
        self._link.close(state_document(self.status(), online=False))

    # ---- the thread ----

    def _work(self) -> None:
        news = 0
        while self.is_open:
            self._carry()
            news = self.wait_for_news(news, LOOK_EVERY_S)
        self._carry()

    def _carry(self) -> None:
        """Every result to the broker's queue; then the state, where it has changed, and the answer to a job change."""
        while (status := self.status()).results_valid:
            inspection = self._inspections.pop(status.result.acquisition, None)
            self._link.publish("result", result_document(status.result, inspection))
            self.write(replace(self._control, results_ack=True))
            self.write(self._control)
        self._answer_command(status)
        document = state_document(status)
        if any(self._shown.get(key) != document[key] for key in ("state", "job", "error")):
            self._shown = document if self._link.publish("state", document, retain=True) else {}

    def _show_again(self) -> None:
        """The broker may have told the last will meanwhile."""
        with self._changed:
            self._shown = {}
            self._tell()

    # ---- job changes, called in paho's thread ----

    def _command(self, payload: bytes) -> None:
        job = _job_of(payload)
        if job is None:
            self._link.publish("answer", {"version": 1, "done": False, "job": None, "error": 'write {"job": 0 to 999}'})
        elif self._asked is not None:
            self._link.publish("answer", {"version": 1, "done": False, "job": job, "error": "another job change is under way"})
        else:
            self._asked = job
            self._control = replace(self._control, execute_command=True, job=job)
            self.write(self._control)

    def _answer_command(self, status: Status) -> None:
        if self._asked is None or not (status.command_completed or status.command_failed):
            return
        self._link.publish("answer", {"version": 1, "done": status.command_completed, "job": self._asked, "error": self._why})
        self._control = replace(self._control, execute_command=False)
        self.write(self._control)
        self._asked = None


def _job_of(payload: bytes) -> int | None:
    try:
        job = json.loads(payload)["job"]
    except (ValueError, KeyError, TypeError):
        return None
    return job if isinstance(job, int) and not isinstance(job, bool) and 0 <= job <= LATEST_JOB else None


def _password(username: str | None, file: Path | None, *, in_clear: bool) -> str | None:
    if username is None:
        return None
    if in_clear:
        raise ConfigError("plc: mqtt: tls: a password would cross the network in clear; set tls to true, or take username away")
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        return (file.read_text(encoding="utf-8").splitlines() or [""])[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"plc: mqtt: password_file: {file} cannot be read: {error}; check the path and the permissions") from error
