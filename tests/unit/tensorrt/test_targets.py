"""What is known of a device: by pycuda, by nvpmodel, and by the table of targets."""

from __future__ import annotations

import re
import stat

import fake_tensorrt.cuda as cuda
import pytest
from fake_tensorrt import load
from fake_tensorrt.parts import GPU

from edge_inspect.errors import EngineError
from edge_inspect.workshop.plan_files import read_gpu, read_power_mode
from edge_inspect.workshop.targets import TARGETS, has_int8, target_lines

pytestmark = pytest.mark.workshop


def test_the_gpu_is_read_through_pycuda(fault):
    assert read_gpu(cuda) == GPU
    fault(no_device=True)
    with pytest.raises(EngineError, match="no usable GPU here"):
        read_gpu(cuda)


@pytest.mark.parametrize(
    ("script", "mode"),
    [("#!/bin/sh\necho NV Fan Mode:quiet; echo NV Power Mode: MAXN; echo 0", "MAXN"), ("#!/bin/sh\nexit 1", None), ("no program", None)],
)
def test_the_power_mode_is_what_nvpmodel_tells(script, mode, tmp_path):
    tool = tmp_path / "nvpmodel"
    tool.write_text(script + "\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    assert read_power_mode(str(tool)) == mode


def test_a_machine_without_nvpmodel_has_no_power_mode():
    assert read_power_mode("no-such-tool") is None


def test_the_table_of_targets_says_int8_where_the_builder_allows_it():
    for target in TARGETS:
        assert ("int8" in target.precisions) == has_int8(target.compute_capability), target.name
    lines = list(target_lines())
    assert len(lines) == len(TARGETS) + 1
    assert re.match(r"Jetson Nano +5\.3 +fp32 fp16 +8\.2\.1", lines[1])


def test_every_target_that_is_built_ahead_is_one_that_tensorrt_rtx_has_a_name_for():
    known = {member.name for member in load("rtx-1.7.1").ComputeCapability}
    for target in TARGETS:
        assert target.ahead_of_time == ("SM" + target.compute_capability.replace(".", "") in known), target.name
