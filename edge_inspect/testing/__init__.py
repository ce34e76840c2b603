"""The checks that every camera, runtime, output and PLC wire must pass, ours included; for a third party's own tests.

Example:
    def test_our_camera_keeps_the_contract():
        check_camera(lambda: open_linescan(name="top", port=1))

Each takes a call that opens the adapter, as its factory would, and opens it more than once. A broken promise is an
AssertionError with one sentence. No pytest is needed.
"""

from edge_inspect.testing.camera import check_camera
from edge_inspect.testing.output import check_output
from edge_inspect.testing.plc import check_plc
from edge_inspect.testing.runtime import check_runtime
from edge_inspect.testing.samples import sample_inspections

__all__ = ["check_camera", "check_output", "check_plc", "check_runtime", "sample_inspections"]
