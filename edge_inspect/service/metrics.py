"""Counts, times and health as Prometheus text, for whoever watches many stations.

Numbers of a part are taken as it is recorded; all others (disk, queues, temperature) only when somebody asks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect import __version__
from edge_inspect.config import Metrics as Settings
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import OutputError, PluginError
from edge_inspect.protocols import Queued
from edge_inspect.service.live import STAGES, LiveStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_inspect.protocols import Output

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the latency histograms [s]: from one millisecond to what no line waits for."""

THERMAL = Path("/sys/class/thermal")


class Metrics:
    """What is counted of one station; a watcher of its `LiveStatus`."""

    def __init__(self, status: LiveStatus, *, station: str, data: Path, outputs: Mapping[str, Output], thermal: Path = THERMAL) -> None:
        """Nothing is served yet.

        Raises:
            PluginError: prometheus_client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
        except ImportError as error:
            raise PluginError("metrics: needs prometheus_client; install edge-inspect[metrics], or take `metrics` out") from error
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
        ready.set_function(lambda: float(status.now == "ready"))
        free = Gauge("edge_inspect_disk_free_bytes", "Free on the disk of the data folder", registry=registry)
        free.set_function(lambda: _free_bytes(data))
        waiting = Gauge("edge_inspect_output_waiting", "Inspections in the queue of an output", ["output"], registry=registry)
        dropped = Gauge("edge_inspect_output_dropped", "Inspections that an output dropped since the start", ["output"], registry=registry)
        for name, output in outputs.items():
            if isinstance(output, Queued):
                waiting.labels(name).set_function(partial(getattr, output, "waiting"))
                dropped.labels(name).set_function(partial(getattr, output, "dropped"))
        celsius = Gauge("edge_inspect_temperature_celsius", "Temperature of a zone of the machine", ["zone"], registry=registry)
        for zone in sorted(thermal.glob("thermal_zone*")):
            celsius.labels(_zone_name(zone)).set_function(partial(_celsius, zone))

    def note(self, inspection: Inspection) -> None:
        """Count one inspection; times only of a part that was inspected."""
        self._parts.labels(inspection.verdict.value).inc()
        if inspection.score is not None:
            for stage in STAGES:
                self._seconds.labels(stage).observe(getattr(inspection.latency, stage) / 1e9)

    def alarm(self, source: str, stands: bool) -> None:
        """An alarm has been raised, or is over."""
        self._alarm.labels(source).set(float(stands))


@contextmanager
def serve_metrics(
    settings: Settings | None, status: LiveStatus, *, station: str, data: Path, outputs: Mapping[str, Output]
) -> Iterator[None]:
    """Serve `http://host:port/metrics` from a thread of its own; None serves nothing.

    Raises:
        PluginError: prometheus_client is not installed.
        OutputError: the address cannot be listened on.
    """
    if settings is None:
        yield
        return
    metrics = Metrics(status, station=station, data=data, outputs=outputs)
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
        server.shutdown()
        server.server_close()
        thread.join()


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
