"""The built-in engines, and folders around broken graphs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_inspect.model_folder import ModelFolder, open_model_folder, write_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.runtimes.openvino_runtime import open_openvino
from edge_inspect.runtimes.reference import open_reference

MODELS = Path(__file__).parents[2] / "golden" / "models"


@pytest.fixture(params=[open_openvino, open_onnx, open_reference], ids=["openvino", "onnx", "reference"])
def open_engine(request):
    return request.param


@pytest.fixture
def tiny() -> ModelFolder:
    return open_model_folder(MODELS / "tiny")


@pytest.fixture
def folder_with(tiny: ModelFolder, tmp_path: Path) -> Callable[[bytes], ModelFolder]:
    """tiny's manifest and golden frames around another graph."""

    def write(onnx_bytes: bytes) -> ModelFolder:
        manifest = tiny.manifest
        return write_model_folder(
            tmp_path / "model",
            onnx_bytes=onnx_bytes,
            golden=tiny.load_golden(),
            model="variant",
            family=manifest.family,
            input_size=manifest.input,
            image_score=manifest.image_score,
            score_meaning=manifest.score_meaning,
            training=manifest.training,
            software="test",
            created_at=datetime(2026, 11, 21, tzinfo=timezone.utc),
        )

    return write
