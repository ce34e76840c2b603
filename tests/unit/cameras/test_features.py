"""Settings against a camera that rounds, refuses and forgets, as cameras do."""

import pytest

from edge_inspect.cameras.features import Wanted, apply, described
from edge_inspect.errors import CameraError, ConfigError


class Camera:
    """A feature map in a dictionary; `rounds` gives what becomes of a value that is written."""

    def __init__(self, *, rounds=None, refuses=(), **held):
        self.held = {"PixelFormat": "Mono8", "Width": 1024, "Height": 1024, "OffsetX": 0, "OffsetY": 0, **held}
        self.rounds, self.refuses, self.written = rounds or {}, refuses, []

    def has(self, name):
        return name in self.held

    def choices(self, name):
        return ("AcquisitionStart", "FrameStart")

    def read(self, name):
        if name not in self.held:
            raise CameraError("the camera has no such feature")
        return self.held[name]

    def write(self, name, value):
        if name not in self.held or name in self.refuses:
            raise CameraError("out of range")
        self.written.append((name, value))
        self.held[name] = self.rounds.get(name, lambda given: given)(value)


TRIGGERS = {"TriggerSelector": "FrameStart", "TriggerMode": "On", "TriggerSource": "Line1", "TriggerActivation": "RisingEdge"}


def test_everything_wanted_is_set_in_an_order_that_cameras_take():
    camera = Camera(ExposureTime=10.0, ExposureAuto="Continuous", Gain=0.0, GevSCPSPacketSize=1500, BlackLevel=0, **TRIGGERS)
    wanted = Wanted(
        exposure_us=500.0,
        gain=2.0,
        pixel_format="BayerRG8",
        width=640,
        left=16,
        trigger_source="Line2",
        trigger_activation="FallingEdge",
        packet_size=9000,
        features={"BlackLevel": 3},
    )
    apply(wanted, camera, where="camera top")
    assert camera.written == [
        *[("TriggerSelector", "AcquisitionStart"), ("TriggerMode", "Off"), ("TriggerSelector", "FrameStart"), ("TriggerMode", "Off")],
        *[("PixelFormat", "BayerRG8"), ("OffsetX", 0), ("Width", 640), ("OffsetX", 16)],
        *[("ExposureAuto", "Off"), ("ExposureTime", 500.0), ("Gain", 2.0), ("GevSCPSPacketSize", 9000), ("BlackLevel", 3)],
        *[("TriggerSelector", "FrameStart"), ("TriggerSource", "Line2"), ("TriggerActivation", "FallingEdge"), ("TriggerMode", "On")],
    ]


def test_a_trigger_that_another_program_left_on_is_off_where_none_is_wanted():
    camera = Camera(**TRIGGERS)
    apply(Wanted(features={}), camera, where="camera top")
    assert camera.held["TriggerMode"] == "Off"


def test_all_that_differs_or_is_refused_is_told_at_once_with_got_and_wanted():
    camera = Camera(
        ExposureTime=10.0, Gain=0.0, rounds={"ExposureTime": lambda given: 35.0 * round(given / 35)}, refuses={"Gain"}, **TRIGGERS
    )
    with pytest.raises(ConfigError) as refused:
        apply(Wanted(exposure_us=1000.0, gain=99.0, features={"Nonsense": True}), camera, where="camera top")
    assert str(refused.value) == (
        "camera top: the camera does not take its settings: Gain: wanted 99, refused: out of range; Nonsense: wanted True, refused: out of "
        "range; ExposureTime: got 1015, wanted 1000; correct them in the station file"
    )


@pytest.mark.parametrize(("pixel_format", "told"), [("Mono12", ["camera top: Mono12 is scaled to 8 bits (value // 16)"]), ("Mono8", [])])
def test_a_format_that_loses_bits_is_told(caplog, pixel_format, told):
    caplog.set_level("INFO")
    apply(Wanted(pixel_format=pixel_format, features={}), Camera(), where="camera top")
    assert caplog.messages == told


def test_a_thousandth_is_no_difference():
    camera = Camera(ExposureTime=1.0, rounds={"ExposureTime": lambda given: given * 1.0005})
    apply(Wanted(exposure_us=1000.0, features={}), camera, where="camera top")


def test_one_setting_that_changes_another_is_found():
    camera = Camera(ExposureTime=1.0, Binning=1)
    camera.rounds["Binning"] = lambda given: camera.held.update(Width=512) or given
    with pytest.raises(ConfigError, match="Width: got 512, wanted 640"):
        apply(Wanted(width=640, features={"Binning": 2}), camera, where="camera top")


def test_older_names_are_known():
    camera = Camera(ExposureTimeAbs=1.0, GainRaw=0, AcquisitionFrameRateAbs=1.0, AcquisitionFrameRateEnable=False)
    apply(Wanted(exposure_us=900.0, gain=192.0, fps=20.0, features={}), camera, where="camera top")
    assert (camera.held["ExposureTimeAbs"], camera.held["GainRaw"], camera.held["AcquisitionFrameRateAbs"]) == (900.0, 192, 20.0)
    assert described(camera)["exposure_us"] == 900.0


def test_a_format_that_is_no_picture_here_is_refused_whoever_set_it():
    with pytest.raises(ConfigError, match="delivers Mono10Packed, wanted one of"):
        apply(Wanted(features={}), Camera(PixelFormat="Mono10Packed"), where="camera top")
