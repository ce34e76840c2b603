"""What the MQTT wire says as JSON: results, state and answers below one topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_inspect.datatypes import Inspection
from edge_inspect.plc.broker_link import Broker, BrokerLink, Command
from edge_inspect.plc.result_document import Document, result_document, state_document
from edge_inspect.plc.signals import Result, Status

TOLD = ("state", "job", "error", "notices", "gate")
"""A state with the same of these is told once."""


class JsonMessages:
    """The station's messages on a broker of MQTT 3.1.1, at least once each."""

    def __init__(self, broker: Broker, status: Status, *, on_connected: Callable[[], None], on_command: Command | None) -> None:
        """Start to connect, for ever; `on_connected` is called in paho's thread, when the state must be told anew.

        Raises:
            PlcError: a certificate or key cannot be used.
        """
        self._shown: dict[str, Any] = {}
        self._on_connected = on_connected
        will = state_document(status, online=False)
        self._link = BrokerLink(broker, will=will, on_connected=self._show_again, on_command=on_command)

    @property
    def dropped(self) -> int:
        """Messages dropped because too many were waiting for the broker."""
        return self._link.dropped

    @property
    def trouble(self) -> str:
        """Why nothing arrives now; "" while the broker listens."""
        return self._link.trouble

    def result(self, result: Result, inspection: Inspection | None) -> None:
        """Say a result."""
        self._link.publish("result", result_document(result, inspection))

    def state(self, status: Status) -> None:
        """Say the state, where it has changed or was not said yet.

        A broker that is away is told once, when it is back: its queue is for results, not for each edge of the gate.
        """
        if self._link.trouble:
            return
        document = state_document(status)
        if any(self._shown.get(key) != document[key] for key in TOLD):
            self._shown = document if self._link.publish("state", document, retain=True) else {}

    def answer(self, document: Document) -> None:
        """Say what became of a job change."""
        self._link.publish("answer", document)

    def tick(self) -> None:
        """Nothing is due by itself."""

    def close(self, status: Status) -> None:
        """Say goodbye and hang up."""
        self._link.close(state_document(status, online=False))

    def _show_again(self) -> None:
        """The broker may have told the last will meanwhile."""
        self._shown = {}
        self._on_connected()
