"""What programs of the device tell: nvidia-smi and nvpmodel, played by scripts that say what the real ones say."""

from __future__ import annotations

import os

import pytest

from edge_inspect.field.device import child_processes, device_facts, most_resident_bytes, resident_bytes
from edge_inspect.field.nvidia import gpu_facts, gpu_memory_mb, gpu_watts

NVIDIA_SMI = """#!/bin/sh
case "$1" in
  *compute-apps*) printf '41, 250\\n42, 100\\n' ;;
  *power.draw) printf '61.5\\n' ;;
  *) printf 'NVIDIA A100, 550.54.15, 1410, 1410, 34, 400.00, 40960\\n' ;;
esac
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a script alone on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)

    return write


def test_the_gpu_is_told(program):
    program("nvidia-smi", NVIDIA_SMI)
    assert gpu_facts()["name"] == "NVIDIA A100"
    assert gpu_facts()["driver_version"] == "550.54.15"
    assert device_facts()["gpu"]["temperature.gpu"] == "34"
    assert gpu_watts() == 61.5


def test_memory_on_the_gpu_is_that_of_the_named_processes(program):
    program("nvidia-smi", NVIDIA_SMI)
    assert gpu_memory_mb([42, 7]) == pytest.approx(104.8576)
    assert gpu_memory_mb([7]) == 0


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 9\n", "#!/bin/sh\necho '[N/A]'\n", "#!/bin/sh\n"])
def test_a_gpu_that_does_not_answer_is_none(program, text):
    program("nvidia-smi", text)
    assert gpu_watts() is None
    assert gpu_memory_mb([1]) in {None, 0}


def test_without_nvidia_smi_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_facts() is gpu_watts() is gpu_memory_mb([1]) is None
    assert device_facts()["power_mode"] is None


def test_a_jetsons_power_mode_is_told(program):
    program("nvpmodel", "#!/bin/sh\nprintf 'NV Power Mode: MAXN\\n0\\n'\n")
    assert device_facts()["power_mode"] == "NV Power Mode: MAXN 0"
    program("nvpmodel", "#!/bin/sh\nexit 1\n")
    assert device_facts()["power_mode"] is None


def test_clocks_board_and_temperature_are_read_from_the_kernel(tmp_path):
    for name, text in {
        "cpus/cpu0/cpufreq/scaling_cur_freq": "1479000",
        "cpus/cpu0/cpufreq/scaling_max_freq": "1510400",
        "thermal/thermal_zone0/temp": "41500",
        "thermal/thermal_zone1/temp": "-256000",
        "thermal/thermal_zone2/temp": "",
        "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    facts = device_facts(proc=tmp_path / "proc", cpus=tmp_path / "cpus", thermal=tmp_path / "thermal")
    assert (facts["clock_mhz"], facts["clock_max_mhz"], facts["temperature_c"]) == ("1479", "1510", 41.5)
    assert facts["board"] == "NVIDIA Jetson Nano Developer Kit"


def test_the_most_memory_is_at_least_what_is_used_now():
    assert most_resident_bytes() >= resident_bytes() * 0.99


def test_child_processes_are_those_that_run():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0)
    assert child in child_processes()
    os.write(write, b"x")
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)
    assert child not in child_processes()
