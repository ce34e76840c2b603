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
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from edge_inspect.datatypes import Deed, Inspection, Outcome, Peer, PlcRequest
from edge_inspect.errors import ConfigError, PlcError, PluginError
from edge_inspect.plc.result_document import Document
from edge_inspect.plc.results import ResultQueue
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.signals import Control, Result, Status
from edge_inspect.plc.sparkplug_names import Sparkplug
from edge_inspect.protocols import needs
from edge_inspect.time_left import THE_END

if TYPE_CHECKING:
    from edge_inspect.plc.broker_link import Broker

PASSWORD_VARIABLE = "EDGE_INSPECT_MQTT_PASSWORD"  # noqa: S105 - the name of it
LOOK_EVERY_S = 0.02
"""Longest time from a missed deadline until FAULT is published [s]."""
CLOSE_WITHIN_S = 5.0
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
LATEST_JOB = 999
RESULTS = 1000
"""Results that may come while the wire's thread gets no time; there is no PLC whose scans would pace them."""
UNDER_WAY = "another job change is under way"


@needs(lambda options: _messages(options.get("sparkplug"), commands=False))
@contextmanager
def open_mqtt(
    *,
    deadline_ms: float,
    host: str,
    topic: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^#+/\x00][^#+\x00]*[^#+/\x00]$")] | None = None,
    sparkplug: Sparkplug | None = None,
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
        topic: everything the station says is below it as JSON, as `plant/line-3/cell-3`.
        sparkplug: instead of a topic: be an Edge Node of Sparkplug B, as `{group: plant, node: cell-3}`; with `host: ID` results wait
            for that primary host. Needs the extra `sparkplug`.
        port: the broker's TCP port; 8883 is the usual one with TLS, 1883 without.
        tls: encrypt, and check the broker's certificate and name.
        ca_file: certificates that may have signed the broker's; None takes the system's.
        cert_file: the station's own certificate, for brokers that ask for one.
        key_file: its private key.
        username: the station's account; its password is in `password_file` or in the environment, never in the station file.
        password_file: file whose first line is the password (a systemd credential is one); None takes EDGE_INSPECT_MQTT_PASSWORD.
        queue: messages that may wait for a broker that is away; more are dropped and counted.
        commands: take job changes from `TOPIC/command`, or as Sparkplug's NCMD `Command/Job`. Whoever may publish there changes the job:
            use the broker's access list.

    Yields:
        The wire.

    Raises:
        PluginError: paho-mqtt, or protobuf for Sparkplug, is not installed.
        ConfigError: neither topic nor sparkplug is given, or both; a password would be sent in clear, or cannot be read.
        PlcError: a certificate or key cannot be used.
    """
    if (topic is None) == (sparkplug is None):
        raise ConfigError("plc: mqtt: give either `topic`, for JSON, or `sparkplug`, and not both")
    broker_class, open_messages = _messages(sparkplug, commands=commands)
    broker = broker_class(
        host=host,
        port=port,
        topic=topic or "",
        username=username,
        password=_password(username, password_file, in_clear=not tls and host not in LOOPBACK),
        tls=tls,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        queue=queue,
    )
    plc = MqttPlc(deadline_ms=deadline_ms, broker=broker, open_messages=lambda plc: open_messages(broker, plc))
    try:
        yield plc
    finally:
        plc.close()


def _messages(sparkplug: Sparkplug | None, *, commands: bool) -> tuple[type[Broker], Callable[[Broker, MqttPlc], Messages]]:
    """The libraries are imported here, where the wire is named and not before."""
    try:
        from edge_inspect.plc.broker_link import Broker
        from edge_inspect.plc.json_messages import JsonMessages
    except ImportError as error:
        raise PluginError("plc: mqtt needs paho-mqtt; install the extra: pip install 'edge-inspect[mqtt]'") from error
    if sparkplug is None:
        return Broker, lambda broker, plc: JsonMessages(
            broker, plc.status(), on_connected=plc.tell_again, on_command=plc.command if commands else None
        )
    try:
        from edge_inspect.plc.sparkplug import SparkplugNode
    except ImportError as error:
        raise PluginError("plc: mqtt: sparkplug needs protobuf; install the extra: pip install 'edge-inspect[sparkplug]'") from error
    return Broker, lambda broker, plc: SparkplugNode(broker, sparkplug, asked=plc, commands=commands)


class Messages(Protocol):
    """What the wire says to a broker, as JSON or as Sparkplug."""

    @property
    def dropped(self) -> int:
        """Messages dropped because too many were waiting."""

    @property
    def trouble(self) -> str:
        """Why nothing arrives now, else ""."""

    def result(self, result: Result, inspection: Inspection | None) -> None:
        """Say a result; `inspection` is None where the wire said FAULT by itself."""

    def state(self, status: Status) -> None:
        """Say the state, where it has changed."""

    def answer(self, document: Document) -> None:
        """Say what became of a job change."""

    def tick(self) -> None:
        """Do what is due; called every `LOOK_EVERY_S`, in the thread that says results."""

    def close(self, status: Status) -> None:
        """Say goodbye and hang up."""


class MqttPlc(SharedHandshake):
    """A `protocols.Plc` on an MQTT broker."""

    def __init__(self, *, deadline_ms: float, broker: Broker, open_messages: Callable[[MqttPlc], Messages]) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="mqtt", results=ResultQueue(RESULTS))
        self._control = Control(trigger_enable=True, buffer_results_enable=True)
        self.write(self._control)
        self._inspections: dict[int, Inspection] = {}
        self._asked: int | None = None
        self._why = ""
        self._broker = Peer(f"{broker.host}:{broker.port}", "" if broker.username is None else f"as {broker.username}")
        self._messages = open_messages(self)
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Messages dropped because too many were waiting for the broker."""
        return self._messages.dropped

    @property
    def connected(self) -> bool:
        """Whether the broker listens."""
        return not self._messages.trouble

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
        if trouble := self._messages.trouble:
            raise PlcError(trouble)

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change: `job` is the one that runs now; `error` is why the wanted one does not."""
        if request == self._job_asked:
            self._why = error
        super().answer(request, job=job, error=error)

    def close(self) -> None:
        """Publish what is there, say goodbye and end the thread."""
        super().close()
        self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))
        self._messages.close(self.status())

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
            self._messages.result(status.result, inspection)
            self.write(replace(self._control, results_ack=True))
            self.write(self._control)
        self._answer_command(status)
        self._messages.state(status)
        self._messages.tick()

    def tell_again(self) -> None:
        """Wake the thread: the broker must be told anew."""
        with self._changed:
            self._tell()

    # ---- job changes, called in paho's thread; MQTT does not tell who has published them, the audit record names the broker ----

    def command(self, payload: bytes, *, retained: bool) -> None:
        """Take what was published under `TOPIC/command`."""
        job = _job_of(payload)
        if retained:
            self.noted(Deed.JOB, Outcome.REFUSED, f"job {job}", "a retained command is one of some other day")
        elif job is None:
            self.noted(Deed.REQUEST, Outcome.REFUSED, "", "no job change")
            self._messages.answer({"version": 1, "done": False, "job": None, "error": 'write {"job": 0 to 999}'})
        else:
            self.job(job)

    def job(self, job: int) -> None:
        """Ask for another job."""
        if self._asked is not None:
            self.noted(Deed.JOB, Outcome.REFUSED, f"job {job}", UNDER_WAY)
            self._messages.answer({"version": 1, "done": False, "job": job, "error": UNDER_WAY})
            return
        self._asked = job
        self._control = replace(self._control, execute_command=True, job=job)
        self.write(self._control, by=self._broker)

    def noted(self, deed: Deed, outcome: Outcome, subject: str, reason: str) -> None:
        """Say what came from the broker for the audit record."""
        self.note(deed, outcome, by=self._broker, subject=subject, reason=reason)

    def _answer_command(self, status: Status) -> None:
        if self._asked is None or not (status.command_completed or status.command_failed):
            return
        self._messages.answer({"version": 1, "done": status.command_completed, "job": self._asked, "error": self._why})
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
