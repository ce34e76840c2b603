"""What Prometheus reads of a station, over HTTP."""

from __future__ import annotations

import socket
import sys
import urllib.request
from contextlib import nullcontext

import pytest

from edge_inspect.config import Metrics as Settings
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError, PluginError
from edge_inspect.outputs.background import run_in_background
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.metrics import Metrics, PowerMode, serve_metrics

from .test_live import inspection

pytest.importorskip("prometheus_client", reason="the extra `metrics` is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Kept:
    def emit(self, inspection):
        pass


@pytest.fixture
def status(tmp_path):
    return LiveStatus(tmp_path / "status.json", station="cell-3")


@pytest.fixture
def asked(tmp_path, status):
    """Ask for the numbers of a station with pictures in the background; a function that gives them by name and labels."""
    port = free_port()
    status.alarm("camera", "away")

    def ask():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    with (
        run_in_background(nullcontext(Kept()), queue=1, name="images") as background,
        serve_metrics(Settings(port=port), status, station="cell-3", data=tmp_path, outputs={"images": background, "log": Kept()}),
    ):
        yield ask


def test_verdicts_times_alarms_queues_and_the_disk_are_there(status, asked):
    assert asked()['edge_inspect_parts_total{verdict="NG"}'] == 0
    assert asked()["edge_inspect_ready"] == 0
    status.state("ready")
    status.note(inspection(1, infer_ms=15))
    status.note(inspection(2, Verdict.FAULT))
    found = asked()
    assert found["edge_inspect_ready"] == 1
    assert found['edge_inspect_parts_total{verdict="OK"}'] == 1
    assert found['edge_inspect_parts_total{verdict="FAULT"}'] == 1
    assert found['edge_inspect_stage_seconds_bucket{le="0.01",stage="infer"}'] == 0
    assert found['edge_inspect_stage_seconds_bucket{le="0.02",stage="infer"}'] == 1
    assert found['edge_inspect_stage_seconds_count{stage="verdict"}'] == 1
    assert found['edge_inspect_alarm{source="camera"}'] == 1
    assert found["edge_inspect_disk_free_bytes"] > 0
    assert found['edge_inspect_output_waiting{output="images"}'] == 0
    assert found['edge_inspect_output_dropped{output="images"}'] == 0
    assert any(name.startswith("edge_inspect_info{") and 'station="cell-3"' in name for name in found)
    status.alarm("camera", "")
    assert asked()['edge_inspect_alarm{source="camera"}'] == 0


def test_temperatures_are_those_of_the_machine_and_a_zone_that_refuses_is_no_number(tmp_path, status):
    for number, content in enumerate(("48500\n", "asleep\n", None)):
        zone = tmp_path / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        if content is not None:
            (zone / "type").write_text("CPU-therm\n")
            (zone / "temp").write_text(content)
    metrics = Metrics(status, station="a", data=tmp_path / "gone", outputs={}, thermal=tmp_path / "thermal")
    read = metrics.registry.get_sample_value
    assert read("edge_inspect_temperature_celsius", {"zone": "thermal_zone0 CPU-therm"}) == 48.5
    for zone in ("thermal_zone1 CPU-therm", "thermal_zone2"):
        value = read("edge_inspect_temperature_celsius", {"zone": zone})
        assert value != value
    free = read("edge_inspect_disk_free_bytes")
    assert free != free


def test_a_port_that_is_taken_is_one_sentence(tmp_path, status):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(port=taken.getsockname()[1])
        opened = serve_metrics(settings, status, station="a", data=tmp_path, outputs={})
        with pytest.raises(OutputError, match=r"cannot listen on 127\.0\.0\.1 port"):
            opened.__enter__()


def test_without_the_library_the_extra_is_named(tmp_path, status, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(PluginError, match=r"install edge-inspect\[metrics\]"):
        Metrics(status, station="a", data=tmp_path, outputs={})


def test_a_station_that_names_none_serves_none(tmp_path, status):
    with serve_metrics(None, status, station="a", data=tmp_path, outputs={}):
        assert status._watchers == []


def test_a_device_that_is_back_is_a_reconnect_and_another_alarm_is_none(status, asked):
    status.alarm("camera", "")
    status.alarm("camera", "away")
    status.alarm("camera", "away still")
    status.alarm("camera", "")
    status.alarm("database", "full")
    status.alarm("database", "")
    found = asked()
    assert found['edge_inspect_reconnects_total{source="camera"}'] == 2
    assert found['edge_inspect_reconnects_total{source="plc"}'] == 0
    assert 'edge_inspect_reconnects_total{source="database"}' not in found


class ServedWire:
    clients, connections = 1, 4


def test_a_wire_that_the_plc_connects_to_tells_who_is_there(status, tmp_path):
    metrics = Metrics(status, station="a", data=tmp_path, outputs={}, plc=ServedWire())
    found = {sample.name: sample.value for family in metrics.registry.collect() for sample in family.samples}
    assert (found["edge_inspect_plc_clients"], found["edge_inspect_plc_connections"]) == (1, 4)


def test_a_jetsons_power_mode_is_asked_for_once_a_minute_and_other_machines_have_none(status, tmp_path):
    asked = []
    mode = PowerMode(ask=lambda: asked.append(1) or "NV Power Mode: 15W 2")
    told = [sample for _ in range(3) for family in mode.collect() for sample in family.samples]
    assert [(sample.name, sample.labels, sample.value) for sample in told] == 3 * [
        ("edge_inspect_power_mode", {"mode": "NV Power Mode: 15W 2"}, 1.0)
    ]
    assert len(asked) == 1
    assert list(PowerMode(ask=lambda: None).collect()) == []


def test_the_gate_is_there_where_a_station_has_one(tmp_path, status):
    counts: dict[str, int] = {}
    metrics = Metrics(status, station="cell-3", data=tmp_path, outputs={}, gate=lambda: counts)
    assert metrics.registry.get_sample_value("edge_inspect_gate", {"what": "passed"}) == 0
    counts.update({"passed": 12, "on": 1})
    assert metrics.registry.get_sample_value("edge_inspect_gate", {"what": "passed"}) == 12
    assert metrics.registry.get_sample_value("edge_inspect_gate", {"what": "on"}) == 1
