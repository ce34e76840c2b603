"""`engines/<model>/`: what was written is what is opened, and nothing else is."""

import hashlib
import io
import json
import os
import stat
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Golden, ImageSize, MeanOfHighest, Training, open_model_folder, write_model_folder

ONNX = b"a graph"


def golden(frames=3):
    rng = np.random.default_rng(0)
    return Golden(
        images=rng.integers(0, 256, (frames, 32, 48, 3), dtype=np.uint8),
        maps=rng.random((frames, 8, 12), dtype=np.float32),
        scores=rng.random(frames, dtype=np.float32),
    )


def write(path, **changes):
    values = {"onnx_bytes": ONNX, "golden": golden(), "model": "cell", "family": "padim", "image_score": "map maximum"}
    values |= {"input_size": ImageSize(width=48, height=32, channels=3), "score_meaning": "distance", "software": "edge-inspect"}
    values |= {"training": Training(images=40, fingerprint="f"), "created_at": datetime(2026, 11, 21, tzinfo=timezone.utc)}
    return write_model_folder(path, **(values | changes))


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "engines" / "cell").path


def edit(folder, **changes):
    content = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps({key: value for key, value in content.items() if value != "nothing"}))


def replace_golden(folder, content):
    """Put other golden frames in, with the right hash."""
    (folder / "golden.npz").write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit(folder, files=files | {"golden.npz": hashlib.sha256(content).hexdigest()})


def refusal(folder):
    with pytest.raises(EngineError) as caught:
        open_model_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_what_was_written_is_what_is_opened(folder):
    model = open_model_folder(folder)
    assert model.manifest == write(folder).manifest
    assert (model.manifest.input.width, model.manifest.input.height, model.manifest.input.channels) == (48, 32, 3)
    assert (model.manifest.score_map.width, model.manifest.score_map.height) == (12, 8)
    assert model.model_file.read_bytes() == ONNX
    assert model.engine_sha256 == hashlib.sha256(ONNX).hexdigest()


def test_the_golden_frames_come_back_bit_for_bit(folder):
    got, wanted = open_model_folder(folder).load_golden(), golden()
    for name in ("images", "maps", "scores"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
        assert getattr(got, name).dtype == getattr(wanted, name).dtype


def test_writing_again_replaces_the_model(folder):
    write(folder, onnx_bytes=b"another graph", golden=golden(5))
    assert open_model_folder(folder).model_file.read_bytes() == b"another graph"
    assert len(open_model_folder(folder).load_golden().images) == 5


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_one_changed_byte_is_refused_with_both_hashes(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    got = hashlib.sha256(content).hexdigest()[:12]
    wanted = open_manifest(folder)["files"][name][:12]
    assert refusal(folder) == (
        f"{name}: is not the file that was made: hash {got}, the manifest says {wanted}; copy the whole model folder again"
    )


def open_manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert refusal(folder) == f"{name}: cannot be read: No such file or directory; copy the whole model folder again"


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    assert refusal(tmp_path) == f"manifest.json: cannot be read: No such file or directory; is {tmp_path} a model folder?"


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_manifest_that_does_not_name_a_file_is_refused(folder, name):
    files = open_manifest(folder)["files"]
    edit(folder, files={other: files[other] for other in files if other != name})
    assert refusal(folder) == f"manifest.json: names no {name}; teach or export the model again"


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/b", "..", "", "."])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(folder, name):
    edit(folder, files=open_manifest(folder)["files"] | {name: "0" * 64})
    assert refusal(folder) == f"manifest.json: names {name!r}, which is not a plain file name; do not trust this model"


def test_further_files_are_verified_too(folder):
    (folder / "model.fp16.onnx").write_bytes(b"half")
    edit(folder, files=open_manifest(folder)["files"] | {"model.fp16.onnx": hashlib.sha256(b"half").hexdigest()})
    assert "model.fp16.onnx" in open_model_folder(folder).manifest.files
    (folder / "model.fp16.onnx").write_bytes(b"other")
    assert refusal(folder).startswith("model.fp16.onnx: is not the file that was made")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"format": 2}, "format: got 2; should be 1"),
        ({"image_score": "mean"}, "image_score: got 'mean'; should be 'map maximum' or 'own'"),
        ({"input": {"width": 48, "height": 32, "channels": 2}}, "input.channels: got 2; should be 1 or 3"),
        ({"input": {"width": "48", "height": 32, "channels": 3}}, "input.width: got '48'; should be a whole number"),
        ({"score_map": {"width": 0, "height": 8}}, "score_map.width: got 0; should be greater than 0"),
        ({"family": "nothing"}, "family: Field required"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_manifest_of_another_kind_is_told(folder, changes, what):
    edit(folder, **changes)
    assert refusal(folder) == f"manifest.json: not a manifest of this version: {what}; teach or export the model again"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_bytes(content)
    assert refusal(folder).startswith("manifest.json: not a manifest of this version: ")


def packed(**arrays):
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    return archive.getvalue()


def zipped(**members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return archive.getvalue()


def array_file():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


GOOD = packed(images=np.zeros((1, 32, 48, 3), np.uint8), maps=np.zeros((1, 8, 12), np.float32), scores=np.zeros(1, np.float32))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        array_file(),
        GOOD[: len(GOOD) // 2],
        GOOD.replace(b"\x93NUMPY", b"\x93XUMPY"),
        packed(images=np.zeros(3)),
        packed(images=np.array([{}], object), maps=np.zeros(1), scores=np.zeros(1)),
        packed(images=np.array(1), maps=np.zeros(1), scores=np.zeros(1)),
        zipped(images=b"", maps=b"", scores=b""),
    ],
    ids=["empty", "words", "one array", "half an archive", "changed bytes", "one of three", "pickled objects", "a number", "empty members"],
)
def test_golden_frames_of_another_kind_are_refused(folder, content):
    replace_golden(folder, content)
    with pytest.raises(EngineError, match=r"golden\.npz: not golden frames: .*; teach or export the model again"):
        open_model_folder(folder).load_golden()


def test_golden_frames_that_vanished_are_refused(folder):
    model = open_model_folder(folder)
    (folder / "golden.npz").unlink()
    with pytest.raises(EngineError, match=r"golden\.npz: not golden frames: .*No such file"):
        model.load_golden()


def test_a_cut_while_writing_leaves_no_valid_folder(folder, monkeypatch):
    """The old manifest is gone before the first file changes, and the new one comes last."""
    fsync = os.fsync
    written = []

    def cut(descriptor):
        written.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        if written[-1] == "golden.npz":
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(EngineError, match="the model cannot be written: No space left on device; check space and permissions"):
        write(folder, onnx_bytes=b"another graph")
    assert written == ["model.onnx", "golden.npz"]
    assert refusal(folder).startswith("manifest.json: cannot be read")


def test_files_and_then_their_folder_are_on_the_disk_when_writing_returns(folder, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(stat.S_IFMT(os.fstat(descriptor).st_mode)), fsync(descriptor)))
    write(folder)
    assert synced == [stat.S_IFREG] * 3 + [stat.S_IFDIR]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "engines").write_text("a file where a folder should be")
    with pytest.raises(EngineError, match=r"the model cannot be written: (File exists|Not a directory)"):
        write(tmp_path / "engines" / "cell")


@pytest.mark.parametrize(("image_score", "cells"), [("map maximum", 1), ("own", None), (MeanOfHighest(mean_of_highest=41), 41)])
def test_the_manifest_says_how_many_cells_the_image_score_is_the_mean_of(tmp_path, image_score, cells):
    write(tmp_path / "cell", image_score=image_score)
    manifest = open_model_folder(tmp_path / "cell").manifest
    assert (manifest.image_score, manifest.highest_cells) == (image_score, cells)


@pytest.mark.parametrize("cells", [0, -1, 2.5])
def test_a_mean_of_no_whole_number_of_cells_is_refused(cells):
    with pytest.raises(ValueError, match="mean_of_highest"):
        MeanOfHighest(mean_of_highest=cells)
