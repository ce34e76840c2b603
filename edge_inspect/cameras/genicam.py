"""GigE Vision and USB3 Vision cameras of any maker, through the system's Aravis (`apt install libaravis-0.8-0`).

Tested against Aravis's own GigE Vision camera over a real network of two namespaces; no camera of a maker has been connected here, and
no USB3 Vision camera at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

from pydantic import Field

from edge_inspect.cameras.aravis_library import FAULTS, GOOD, Aravis, AravisFeatures
from edge_inspect.cameras.features import (
    Activation,
    Delay,
    ExposureUs,
    Gain,
    Offset,
    PacketSize,
    Rate,
    Size,
    Value,
    Wanted,
    apply,
    described,
)
from edge_inspect.cameras.pixel_formats import frame_pixels
from edge_inspect.cameras.sdk_camera import Exposure, Keep, SdkCamera, open_sdk_camera
from edge_inspect.errors import CameraError
from edge_inspect.protocols import needs

_NEVER = 2**63

imported = functools.cache(Aravis)
"""The library, loaded once; raises PluginError where it is missing."""

SELECTS = "device"
"""The option that names one of several cameras."""


@needs(lambda _options: imported())
@contextmanager
def open_genicam(
    *,
    name: str,
    device: str | None = None,
    exposure_us: ExposureUs | None = None,
    gain: Gain | None = None,
    pixel_format: str | None = None,
    width: Size | None = None,
    height: Size | None = None,
    left: Offset | None = None,
    top: Offset | None = None,
    fps: Rate | None = None,
    trigger_source: str | None = None,
    trigger_selector: str = "FrameStart",
    trigger_activation: Activation | None = None,
    trigger_delay_us: Delay | None = None,
    packet_size: PacketSize | None = None,
    features: dict[str, bool | int | float | str] | None = None,
    keep: Keep = "every",
    buffers: Annotated[int, Field(ge=2, le=256)] = 10,
    open_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5000,
) -> Iterator[SdkCamera]:
    """Open a GigE Vision or USB3 Vision camera. It need not be there yet: it is awaited, and found again after every loss.

    Args:
        name: the camera's name, given by the station.
        device: the camera's id, serial number or address, as `edge-inspect cameras` shows them; None takes the only one that is connected.
        exposure_us: exposure time [us]; its automatic is switched off.
        gain: gain, in the camera's own unit (dB, or raw on older ones); its automatic is switched off.
        pixel_format: `Mono8`, `Mono12` (scaled to 8 bits), `BayerRG8` and the other three, `RGB8`; None leaves the camera's.
        width: of the region [px].
        height: of the region [px].
        left: of the region on the sensor [px].
        top: likewise.
        fps: exposures per second of a camera that runs freely.
        trigger_source: None runs freely; `Software` exposes at each grab (so at each trigger of the PLC); `Line0` and so on waits there.
        trigger_selector: what the trigger starts.
        trigger_activation: edge or level of the line.
        trigger_delay_us: from trigger to exposure [us].
        packet_size: of GigE Vision, with its headers [bytes]; jumbo frames need it on every switch of the way.
        features: any other feature by its GenICam name, set in this order.
        keep: `every` gives all exposures in order, each a part. `matched` is for one line that triggers camera and station: in order, but
            what comes after its grab was over is thrown away. `freshest` is for a camera that runs freely under a PLC's trigger: the next
            exposure that arrives after the grab began.
        buffers: of the driver.
        open_timeout_ms: longest wait at the start for the camera [ms].

    Raises:
        ConfigError: the camera does not take these settings: got and wanted of each.
        PluginError: Aravis is not installed.
    """
    wanted = Wanted(
        exposure_us=exposure_us,
        gain=gain,
        pixel_format=pixel_format,
        width=width,
        height=height,
        left=left,
        top=top,
        fps=fps,
        trigger_source=trigger_source,
        trigger_selector=trigger_selector,
        trigger_activation=trigger_activation,
        trigger_delay_us=trigger_delay_us,
        packet_size=packet_size,
        features=features or {},
    )
    where = f"camera {name} ({device or 'the only one'})"
    connect = partial(_connect, imported(), device, wanted, buffers, where)
    with open_sdk_camera(
        connect,
        name=name,
        where=where,
        keep=keep,
        by_software=wanted.by_software,
        open_timeout_s=open_timeout_ms / 1e3,
        longest_silence_s=wanted.longest_silence_s,
    ) as camera:
        yield camera


def connected() -> list[dict[str, str]]:
    """What is connected: `id` (for `device`), serial, address, model; raises PluginError where Aravis is missing."""
    aravis = imported()
    aravis.call("update_device_list")
    asked = {"id": "id", "serial": "serial_nbr", "address": "address", "vendor": "vendor", "model": "model", "by": "protocol"}
    return [
        {key: (aravis.call(f"get_device_{name}", index) or b"").decode(errors="replace") for key, name in asked.items()}
        for index in range(aravis.call("get_n_devices"))
    ]


def settings_of(device: str) -> dict[str, Value]:
    """What a connected camera is set to now, as options.

    Raises:
        CameraError: it cannot be opened.
        PluginError: Aravis is not installed.
    """
    aravis = imported()
    camera = _opened(aravis, device, f"camera {device}")
    try:
        return {"device": device, **described(AravisFeatures(aravis, aravis.call("camera_get_device", camera)))}
    finally:
        aravis.let_go(camera)


class AravisDevice:
    """One opened camera and its stream, as `sdk_camera.Device`. Owns both, and the buffers by way of the stream."""

    def __init__(self, aravis: Aravis, camera: int, wanted: Wanted, buffers: int, where: str) -> None:
        self._aravis, self._camera, self._where = aravis, camera, where
        self._stream: int | None = None
        self._device = aravis.call("camera_get_device", camera)
        self._by_network = bool(aravis.call("camera_is_gv_device", camera))
        self._refuse_second_client()
        features = AravisFeatures(aravis, self._device)
        apply(wanted, features, where=where)
        self.pixel_format = str(features.read("PixelFormat"))
        self._stream = aravis.call("camera_create_stream", camera, None, None)
        payload = aravis.call("camera_get_payload", camera)
        for _ in range(buffers):
            aravis.call("stream_push_buffer", self._stream, aravis.call("buffer_new_allocate", payload))
        aravis.call("camera_start_acquisition", camera)

    def trigger(self) -> None:
        """Expose now.

        Raises:
            CameraError: the camera does not answer.
        """
        try:
            self._aravis.call("camera_software_trigger", self._camera)
        except CameraError as error:
            raise CameraError(f"{self._where}: does not take the trigger: {error}; look at its cable and power") from error

    def next(self, timeout_s: float) -> Exposure | None:
        """The next exposure; its buffer is back in the stream when this returns."""
        buffer = self._aravis.call("stream_timeout_pop_buffer", self._stream, min(_NEVER, round(timeout_s * 1e6)))
        if not buffer:
            return None
        try:
            return self._exposure(buffer)
        finally:
            self._aravis.call("stream_push_buffer", self._stream, buffer)

    def skip(self) -> None:
        """Give back what lies waiting."""
        while buffer := self._aravis.call("stream_try_pop_buffer", self._stream):
            self._aravis.call("stream_push_buffer", self._stream, buffer)

    def gone(self) -> str:
        """A GigE camera is away when its control is lost, by its heartbeat; another one when a register cannot be read."""
        if self._by_network:
            lost = not self._aravis.call("gv_device_is_controller", self._device)
            return f"{self._where}: control of the camera is lost; look at its cable, power and network" if lost else ""
        try:
            self._aravis.call("device_read_memory", self._device, 0, 4, ctypes.create_string_buffer(4))
        except CameraError as error:
            return f"{self._where}: does not answer: {error}; look at its cable and power"
        return ""

    def close(self) -> None:
        """Stop and let go of stream and camera."""
        with contextlib.suppress(CameraError):
            if not self.gone():
                self._aravis.call("camera_stop_acquisition", self._camera)
        self._aravis.let_go(self._stream)
        self._aravis.let_go(self._camera)

    def _exposure(self, buffer: int) -> Exposure:
        aravis = self._aravis
        status, frame_id = aravis.call("buffer_get_status", buffer), aravis.call("buffer_get_frame_id", buffer)
        if status != GOOD:
            reason = FAULTS.get(status, f"status {status}")
            return Exposure(frame_id=frame_id, pixels=None, fault=f"{reason}; look at cable, switch and packet size")
        width, height = aravis.call("buffer_get_image_width", buffer), aravis.call("buffer_get_image_height", buffer)
        pixels = frame_pixels(aravis.image(buffer), self.pixel_format, width, height)
        return Exposure(frame_id=frame_id, pixels=pixels, age_ns=self._age_ns(buffer))

    def _age_ns(self, buffer: int) -> int:
        """Aravis stamps the first packet with the wall clock, which may be set meanwhile."""
        age_ns = time.time_ns() - int(self._aravis.call("buffer_get_system_timestamp", buffer))
        return age_ns if 0 <= age_ns < 60 * 10**9 else 0

    def _refuse_second_client(self) -> None:
        if self._by_network and not self._aravis.call("gv_device_is_controller", self._device):
            raise CameraError(f"{self._where}: another program has control of it; end that one")


def _connect(aravis: Aravis, device: str | None, wanted: Wanted, buffers: int, where: str) -> AravisDevice:
    camera = _opened(aravis, device, where)
    try:
        return AravisDevice(aravis, camera, wanted, buffers, where)
    except CameraError as error:
        aravis.let_go(camera)
        reason = str(error)
        raise CameraError(reason if reason.startswith(where) else f"{where}: cannot be set up: {reason}; look at its link") from error
    except BaseException:
        aravis.let_go(camera)
        raise


def _opened(aravis: Aravis, device: str | None, where: str) -> int:
    chosen = _the_one(device, where)
    try:
        camera: int | None = aravis.call("camera_new", chosen.encode())
    except CameraError as error:
        raise CameraError(f"{where}: cannot be opened: {error}; check its address, and that no other program has it open") from error
    if not camera:
        raise CameraError(f"{where}: cannot be opened; check its address, and that no other program has it open")
    return camera


def _the_one(device: str | None, where: str) -> str:
    found = connected()
    fitting = [one for one in found if device is None or device in {one["id"], one["serial"], one["address"]}]
    if len(fitting) != 1:
        there = ", ".join(one["id"] for one in found) or "none"
        advice = "name one of them: device" if fitting else "check its power, cable and address, and this machine's network"
        raise CameraError(f"{where}: found {len(fitting)} such cameras, wanted one; connected are {there}; {advice}")
    return fitting[0]["id"]
