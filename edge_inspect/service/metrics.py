"""Counts, times and health as Prometheus text, for whoever watches many stations.

Numbers of a part are taken as it is recorded; all others (disk, queues, temperature) only when somebody asks.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect import __version__
from edge_inspect.config import Metrics as Settings
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import OutputError, PluginError
from edge_inspect.protocols import Queued, Served
from edge_inspect.service.live import STAGES, LiveStatus
from edge_inspect.service.machine import power_mode
from edge_inspect.time_left import THE_END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.metrics_core import Metric

    from edge_inspect.protocols import Output

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the latency histograms [s]: from one millisecond to what no line waits for."""

CLOSE_WITHIN_S = 5.0
POWER_MODE_EVERY_S = 60.0
GATE = ("passed", "rejected", "no_verdict", "unknown", "neighbour", "slipped", "late", "cleared", "waiting", "on", "clearing")
"""What is told of a reject gate; docs/gate.md says what each is."""

THERMAL = Path("/sys/class/thermal")


def refuse_without_prometheus_client() -> None:
    """Say which extra metrics need.

    Raises:
        PluginError: prometheus_client is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise PluginError("metrics: needs prometheus_client; install edge-inspect[metrics], or take `metrics` out") from error


class Metrics:
    """What is counted of one station; a watcher of its `LiveStatus`."""

    def __init__(
        self,
        status: LiveStatus,
        *,
        station: str,
        data: Path,
        outputs: Mapping[str, Output],
        plc: object = None,
        gate: Callable[[], Mapping[str, int]] | None = None,
        thermal: Path = THERMAL,
    ) -> None:
        """Nothing is served yet.

        Raises:
            PluginError: prometheus_client is not installed.
        """
        refuse_without_prometheus_client()
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

        self.registry = registry = CollectorRegistry()
        self._parts = Counter("edge_inspect_parts", "Verdicts since the start", ["verdict"], registry=registry)
        self._seconds = Histogram(
            "edge_inspect_stage_seconds", "Time of an inspected part by stage", ["stage"], buckets=BUCKETS_S, registry=registry
        )
        self._alarm = Gauge("edge_inspect_alarm", "1 while the alarm of this source stands", ["source"], registry=registry)
        for verdict in Verdict:
            self._parts.labels(verdict.value)
        Info("edge_inspect", "Station and software", registry=registry).info({"station": station, "software": __version__})
        ready = Gauge("edge_inspect_ready", "1 while the station takes triggers", registry=registry)
        ready.set_function(lambda: float(status.now in {"ready", "reloading"}))
        free = Gauge("edge_inspect_disk_free_bytes", "Free on the disk of the data folder", registry=registry)
        free.set_function(lambda: _free_bytes(data))
        waiting = Gauge("edge_inspect_output_waiting", "Inspections in the queue of an output", ["output"], registry=registry)
        dropped = Gauge("edge_inspect_output_dropped", "Inspections that an output dropped since the start", ["output"], registry=registry)
        for name, output in outputs.items():
            if isinstance(output, Queued):
                waiting.labels(name).set_function(partial(getattr, output, "waiting"))
                dropped.labels(name).set_function(partial(getattr, output, "dropped"))
        if gate is not None:
            at_gate = Gauge(
                "edge_inspect_gate", "The reject gate: parts by what became of them, and its state", ["what"], registry=registry
            )
            for what in GATE:
                at_gate.labels(what).set_function(partial(_gate_count, gate, what))
        celsius = Gauge("edge_inspect_temperature_celsius", "Temperature of a zone of the machine", ["zone"], registry=registry)
        for zone in sorted(thermal.glob("thermal_zone*")):
            celsius.labels(_zone_name(zone)).set_function(partial(_celsius, zone))
        self._reconnects = Counter("edge_inspect_reconnects", "Times that a device was back after an alarm", ["source"], registry=registry)
        self._standing: set[str] = set()
        for source in ("camera", "plc"):
            self._reconnects.labels(source)
        if isinstance(plc, Served):
            connected = Gauge("edge_inspect_plc_clients", "PLCs and others connected to the wire now", registry=registry)
            connected.set_function(lambda: float(plc.clients))
            connections = Gauge("edge_inspect_plc_connections", "Times that one has connected since the start", registry=registry)
            connections.set_function(lambda: float(plc.connections))
        registry.register(PowerMode())

    def note(self, inspection: Inspection) -> None:
        """Count one inspection; times only of a part that was inspected."""
        self._parts.labels(inspection.verdict.value).inc()
        if inspection.score is not None:
            for stage in STAGES:
                self._seconds.labels(stage).observe(getattr(inspection.latency, stage) / 1e9)

    def alarm(self, source: str, stands: bool) -> None:
        """An alarm has been raised, or is over."""
        self._alarm.labels(source).set(float(stands))
        if stands:
            self._standing.add(source)
        elif source in self._standing and source.split(maxsplit=1)[0] in {"camera", "plc"}:
            self._reconnects.labels(source).inc()
        if not stands:
            self._standing.discard(source)


class PowerMode:
    """A Jetson's power mode as a metric without a fixed label; asked for at most once a minute. Not run on a Jetson."""

    def __init__(self, ask: Callable[[], str | None] = power_mode) -> None:
        """`ask` tells the mode, None where there is none."""
        self._ask = ask
        self._mode: str | None = None
        self._asked_s = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked for at registration."""
        return []

    def collect(self) -> Iterable[Metric]:
        """1 under the name of the mode; nothing on a machine without one."""
        from prometheus_client.core import GaugeMetricFamily

        if time.monotonic() - self._asked_s > POWER_MODE_EVERY_S:
            self._asked_s, self._mode = time.monotonic(), self._ask()
        if self._mode is not None:
            family = GaugeMetricFamily("edge_inspect_power_mode", "1 under the power mode that the machine runs in", labels=["mode"])
            family.add_metric([self._mode], 1.0)
            yield family


@contextmanager
def serve_metrics(
    settings: Settings | None,
    status: LiveStatus,
    *,
    station: str,
    data: Path,
    outputs: Mapping[str, Output],
    plc: object = None,
    gate: Callable[[], Mapping[str, int]] | None = None,
) -> Iterator[None]:
    """Serve `http://host:port/metrics` from a thread of its own; None serves nothing.

    Raises:
        PluginError: prometheus_client is not installed.
        OutputError: the address cannot be listened on.
    """
    if settings is None:
        yield
        return
    metrics = Metrics(status, station=station, data=data, outputs=outputs, plc=plc, gate=gate)
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(settings.port, addr=settings.host, registry=metrics.registry)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise OutputError(f"metrics: cannot listen on {where}: {error.strerror}; give another port, or stop who uses it") from error
    status.watch(metrics)
    try:
        yield
    finally:
        ending = threading.Thread(target=server.shutdown, name="metrics end", daemon=True)  # its loop looks up every half second
        ending.start()
        ending.join(THE_END.at_most(CLOSE_WITHIN_S))
        server.server_close()
        thread.join(THE_END.at_most(CLOSE_WITHIN_S))


def _gate_count(gate: Callable[[], Mapping[str, int]], what: str) -> float:
    return float(gate().get(what, 0))


def _free_bytes(data: Path) -> float:
    try:
        return float(shutil.disk_usage(data).free)
    except OSError:
        return float("nan")


def _celsius(zone: Path) -> float:
    try:
        return int((zone / "temp").read_text()) / 1000
    except (OSError, ValueError):  # a zone that sleeps refuses
        return float("nan")


def _zone_name(zone: Path) -> str:
    try:
        return f"{zone.name} {(zone / 'type').read_text().strip()}"
    except OSError:
        return zone.name
