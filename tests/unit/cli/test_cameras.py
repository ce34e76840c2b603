"""What is connected, on pylon's emulator and on none; and a capture that is broken off, resumed, refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from edge_inspect.cameras import opencv
from edge_inspect.cameras.pictures import read_picture
from edge_inspect.cli.main import main
from edge_inspect.errors import CameraError, FrameLost
from edge_inspect.field import camera_survey
from edge_inspect.field import capture as capturing
from tests.conftest import write_part


@pytest.fixture
def one_kind(monkeypatch):
    """Only a made-up kind is asked; its camera is the simulated one."""
    module = SimpleNamespace(
        SELECTS="seed",
        connected=lambda: [{"id": "7", "model": "drawn"}, {"id": "8", "model": "dead"}],
        settings_of=lambda one: {"seed": int(one), "width": 64},
    )

    def frame(kind, options):
        if options["seed"] == "8":
            raise CameraError("camera 8: the cable is out")
        return SimpleNamespace(pixels=np.full((48, 64, 3), (200, 100, 50), np.uint8))

    monkeypatch.setattr(camera_survey, "_discovering", lambda kinds: iter([("drawn", module)]))
    monkeypatch.setattr(camera_survey, "_one_frame", frame)


def test_cameras_are_listed_with_a_picture_and_settings_to_paste(one_kind, tmp_path, capsys):
    assert main(["cameras", "--out", str(tmp_path)]) == 1  # one of the two gave no frame
    said = capsys.readouterr().out
    block = yaml.safe_load(said.split("\n# drawn: id 8")[0])
    assert block == {"camera": {"kind": "drawn", "seed": 7, "width": 64, "isolated": True}}
    assert "no frame: camera 8: the cable is out" in said
    assert read_picture(tmp_path / "drawn-7.png")[0, 0].tolist() == [200, 100, 50]


def test_cameras_for_a_program(one_kind, tmp_path, capsys):
    main(["cameras", "--json", "--no-frame"])
    said = json.loads(capsys.readouterr().out)
    assert [one["facts"]["model"] for one in said["cameras"]] == ["drawn", "dead"]
    assert said["unasked"] == {}


def test_a_kind_nobody_installed_is_refused(capsys):
    assert main(["cameras", "--kind", "acmecam"]) == 78
    assert "no kind 'acmecam' is installed; installed are" in capsys.readouterr().err


def test_v4l2_devices_are_listed_from_sysfs(tmp_path):
    (tmp_path / "video0").mkdir()
    (tmp_path / "video0" / "name").write_text("HD Webcam\n")
    assert opencv.connected(tmp_path) == [{"id": "/dev/video0", "model": "HD Webcam"}]
    assert opencv.settings_of("/dev/video0") == {"source": "/dev/video0"}


def test_one_frame_comes_through_a_child_process():
    frame = camera_survey._one_frame("simulated", {"width": 64, "height": 64})
    assert frame.pixels.shape == (64, 64, 3)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="cameras are looked for in a private network only")
def test_the_emulated_cameras_are_found_by_the_real_command(tmp_path):
    pytest.importorskip("pypylon.pylon", reason="needs pypylon, the extra `pylon`")
    command = ["unshare", "-n", sys.executable, "-m", "edge_inspect", "cameras", "--kind", "pylon", "--json", "--out", str(tmp_path)]
    done = subprocess.run(command, env={"PYLON_CAMEMU": "1", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip("no right to make a network namespace")
    camera = json.loads(done.stdout)["cameras"][0]
    assert camera["facts"]["id"] == camera["settings"]["serial"] == "0815-0000"
    assert read_picture(Path(camera["picture"])).shape == (camera["size"][1], camera["size"][0], 1)


@pytest.fixture
def station(tmp_path, monkeypatch):
    write_part(tmp_path / "cell")
    (tmp_path / "data").mkdir()
    (tmp_path / "station.yaml").write_text(
        "name: cell\nrecipe: cell/recipe.yaml\ndeadline_ms: 500\ncamera: {kind: simulated, width: 64, height: 64, corrupt: 0.2}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*more):
    return ["capture", "--out", "good", "--frames", "6", *more]


def test_frames_are_recorded_without_loss_each_with_its_count(station, capsys):
    assert main(words("--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["resumed"]) == (6, 0)
    pictures = sorted((station / "good").glob("*.png"))
    assert [one.name for one in pictures] == [f"{number:06d}.png" for number in range(6)]
    lines = [json.loads(line) for line in (station / "good" / "frames.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(6))
    sequences = [line["sequence"] for line in lines]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] + 1 == 6 + said["lost"]
    described = json.loads((station / "good" / "capture.json").read_text())
    assert described["camera"]["kind"] == "simulated"
    assert read_picture(pictures[0]).shape == (64, 64, 3)


def test_a_capture_that_was_broken_off_goes_on_where_it_stopped(station, capsys, monkeypatch):
    real, kept = capturing._kept, []

    def broken_off(*arguments):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(capturing, "_kept", broken_off)
    assert main(words()) == 1
    assert "stopped from the keyboard" in capsys.readouterr().err
    monkeypatch.setattr(capturing, "_kept", real)
    before = (station / "good" / "000001.png").stat().st_mtime_ns
    assert main(words("--json")) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 3
    assert (station / "good" / "000001.png").stat().st_mtime_ns == before
    assert len(list((station / "good").glob("*.png"))) == 6
    assert main(words()) == 0
    assert "6 frames, 6 of them from before" in capsys.readouterr().out


def test_another_camera_is_not_mixed_into_a_capture(station, capsys):
    main(words())
    (station / "station.yaml").write_text((station / "station.yaml").read_text().replace("width: 64", "width: 128"))
    assert main(words()) == 78
    assert "holds a capture of another camera: got" in capsys.readouterr().err


def test_passwords_do_not_go_into_the_capture(station):
    settings = capturing.load_station(station / "station.yaml")
    block = type(settings.camera).model_validate({"kind": "opencv", "source": "rtsp://me:s3cret@10.0.0.7/x"})
    assert "s3cret" not in json.dumps(capturing._described(settings.model_copy(update={"camera": block})))


def test_a_disk_with_too_little_room_is_refused_in_one_sentence(station, capsys, monkeypatch):
    monkeypatch.setattr(capturing.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert main(words()) == 1
    said = capsys.readouterr().err
    assert "needs about 0 MB, and this disk has 0 MB free; make room or capture fewer frames" in said
    assert len(list((station / "good").glob("*.png"))) == 1


def test_a_full_disk_ends_the_capture_with_whole_pictures_only(station, capsys):
    good = station / "good"
    good.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(good)], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        assert main(["capture", "--out", "good", "--frames", "500"]) == 1
        said = capsys.readouterr().err
        assert "make room or capture fewer frames" in said or "free space on this disk" in said
        assert all(read_picture(one).shape == (64, 64, 3) for one in good.glob("*.png"))
    finally:
        subprocess.run(["umount", str(good)], check=True)


def test_a_camera_that_stays_away_ends_the_capture_and_an_idle_line_does_not(monkeypatch):
    class Camera:
        def __init__(self, *found):
            self.found = list(found)

        def grab(self, timeout_s):
            one = self.found.pop(0) if len(self.found) > 1 else self.found[0]
            if isinstance(one, Exception):
                raise one
            return one

    monkeypatch.setattr(capturing, "AWAY_S", 0.2)
    lost = FrameLost("damaged", sequence=3)
    frames = capturing._frames(Camera(None, None, lost, CameraError("the cable is out")), 0.0)
    assert next(frames) is lost
    with pytest.raises(CameraError, match=r"the cable is out \(away for 0\.2 s; the capture goes on where it stopped"):
        next(frames)


def test_a_running_station_keeps_its_camera(station, capsys):
    with capturing.hold_alone(station / "data"):
        assert main(words()) == 1
    assert "another running station uses this folder" in capsys.readouterr().err
