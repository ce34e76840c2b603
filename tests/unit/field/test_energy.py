"""Energy, read from files as the kernel of a PC and of a Jetson writes them."""

from __future__ import annotations

import pytest

from edge_inspect.field.energy import PowerMeter, RaplMeter, find_meter, measure_energy


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def no_gpu():
    return None


@pytest.fixture
def rapl(tmp_path):
    """Two zones, of which only the first is a whole processor."""
    for zone in ("intel-rapl:0", "intel-rapl:0:0"):
        write(tmp_path / zone / "energy_uj", "1000\n")
        write(tmp_path / zone / "max_energy_range_uj", "262143328850\n")
    return tmp_path


def test_rapl_counts_the_processors_and_not_their_parts(rapl, tmp_path):
    meter = find_meter(rapl=rapl, ina=tmp_path / "none", gpu=no_gpu)
    assert isinstance(meter, RaplMeter)
    write(rapl / "intel-rapl:0" / "energy_uj", "3001000")
    write(rapl / "intel-rapl:0:0" / "energy_uj", "900001000")
    assert meter.joules() == pytest.approx(3)


def test_a_counter_that_wraps_goes_on(rapl, tmp_path):
    meter = find_meter(rapl=rapl, ina=tmp_path / "none", gpu=no_gpu)
    write(rapl / "intel-rapl:0" / "energy_uj", "999")
    assert meter.joules() == pytest.approx(262143.32885)


def test_a_jetsons_monitor_is_integrated(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0])
    monkeypatch.setattr("edge_inspect.field.energy.time.monotonic", lambda: next(clock))
    rail = tmp_path / "ina3221" / "1-0040" / "hwmon" / "hwmon3"
    write(rail / "in1_input", "5000")
    current = write(rail / "curr1_input", "1000")
    meter = find_meter(rapl=tmp_path / "none", ina=tmp_path, gpu=no_gpu)
    current.write_text("3000")
    assert meter.joules() == pytest.approx((5 + 15) / 2 * 2)


def test_a_nanos_older_driver_is_read(tmp_path):
    write(tmp_path / "ina3221x" / "6-0040" / "iio:device0" / "in_power0_input", "4200")
    meter = find_meter(rapl=tmp_path / "none", ina=tmp_path, gpu=no_gpu)
    assert isinstance(meter, PowerMeter)
    assert meter._last == pytest.approx(4.2)


def test_the_gpu_alone_is_said_to_be_the_gpu_alone(tmp_path):
    assert find_meter(rapl=tmp_path, ina=tmp_path, gpu=lambda: 55.0).source == "nvidia-smi, the GPU only"


def test_a_device_that_tells_nothing_is_said_to(tmp_path):
    meter = find_meter(rapl=tmp_path, ina=tmp_path, gpu=no_gpu)
    assert meter is None
    energy = measure_energy(lambda: None, meter)
    assert energy.source.startswith("not measured")
    assert energy.watts is energy.joules_per_frame is None


def test_energy_is_told_per_frame_and_while_waiting():
    class Meter:
        source = "a counter"
        used = 0.0

        def joules(self):
            return self.used

    meter, worked = Meter(), []

    def work():
        worked.append(1)
        meter.used += 0.5

    energy = measure_energy(work, meter, seconds=0.0)
    assert energy.joules_per_frame == pytest.approx(0.5)
    assert energy.idle_watts == 0
    assert energy.watts > 0
    assert len(worked) == 1
