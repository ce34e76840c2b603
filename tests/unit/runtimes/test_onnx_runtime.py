"""What is ONNX Runtime's own."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.geometry import place
from edge_inspect.runtimes.onnx_runtime import open_onnx

PLACEMENT = place(64, 48, None, width=64, height=48, channels=3)
FRAME = np.random.default_rng(5).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_a_score(tiny, threads):
    with open_onnx(model=tiny) as automatic, open_onnx(model=tiny, threads=threads) as told:
        assert automatic.infer(FRAME, PLACEMENT).map.tobytes() == told.infer(FRAME, PLACEMENT).map.tobytes()
