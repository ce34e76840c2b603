"""The list of frames a model was made from, beside its graph."""

from __future__ import annotations

import pytest

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.thresholds.taught_frames import TAUGHT_FILE, packed_frames, taught_frames, unpacked_frames
from tests.conftest import MODELS, with_taught_frames


def test_a_model_of_an_older_version_has_no_list():
    assert taught_frames(open_model_folder(MODELS / "tiny")) is None


def test_the_list_comes_back_with_each_frame_once(tmp_path):
    assert taught_frames(open_model_folder(with_taught_frames(tmp_path / "engine", ["b", "a", "b"]))) == {"a", "b"}
    assert unpacked_frames(packed_frames(["b", "a", "b"])) == ("a", "b")


def test_an_edited_list_is_refused_with_the_model(tmp_path):
    folder = with_taught_frames(tmp_path / "engine", ["a", "b"])
    (folder / TAUGHT_FILE).write_bytes(packed_frames(["a"]))
    with pytest.raises(EngineError, match=TAUGHT_FILE):
        open_model_folder(folder)


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\xff", b"["])
def test_what_is_no_list_is_told(tmp_path, content):
    model = open_model_folder(with_taught_frames(tmp_path / "engine", content))
    with pytest.raises(EngineError, match=r"no list of taught frames: .*; teach or export the model again"):
        taught_frames(model)
