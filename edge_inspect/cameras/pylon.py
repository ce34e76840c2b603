"""Basler cameras through pylon (extra `pylon`, which brings the whole of it): GigE, USB3, and pylon's own emulator.

Tested on the emulator only (PYLON_CAMEMU); no Basler camera has been connected here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from pydantic import Field

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
from edge_inspect.errors import CameraError, PluginError
from edge_inspect.protocols import needs

_READY_MS = 100

SELECTS = "serial"
"""The option that names one of several cameras."""


@needs(lambda _options: imported())
@contextmanager
def open_pylon(
    *,
    name: str,
    serial: str | None = None,
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
    """Open a Basler camera. It need not be there yet: it is awaited, and found again after every loss.

    Args:
        name: the camera's name, given by the station.
        serial: the camera's serial number; None takes the only one that is connected.
        exposure_us: exposure time [us]; its automatic is switched off.
        gain: gain, in the camera's own unit (dB, or raw on older ones); its automatic is switched off.
        pixel_format: `Mono8`, `Mono12` (scaled to 8 bits), `BayerRG8` and the other three, `RGB8`; None leaves the camera's.
        width: of the region [px].
        height: of the region [px].
        left: of the region on the sensor [px].
        top: likewise.
        fps: exposures per second of a camera that runs freely.
        trigger_source: None runs freely; `Software` exposes at each grab (so at each trigger of the PLC); `Line1` and so on waits there.
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
        PluginError: pypylon is not installed.
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
    where = f"camera {name} ({serial or 'the only one'})"
    connect = partial(_connect, imported(), serial, wanted, buffers, where)
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


def imported() -> Any:
    """`pypylon.pylon`.

    Raises:
        PluginError: it is not installed.
    """
    try:
        from pypylon import pylon
    except ImportError as error:
        raise PluginError(f"cameras: kind 'pylon' needs pypylon ({error}); install the extra: pip install edge-inspect[pylon]") from error
    return pylon


def connected() -> list[dict[str, str]]:
    """What is connected: `id` (for `serial`), model and where; raises PluginError where pypylon is missing."""
    pylon = imported()
    return [
        {"id": found.GetSerialNumber(), "model": found.GetModelName(), "vendor": found.GetVendorName(), "by": found.GetDeviceClass()}
        for found in pylon.TlFactory.GetInstance().EnumerateDevices()
    ]


class PylonFeatures:
    """`features.FeatureMap` over pylon's node map."""

    def __init__(self, pylon: Any, nodes: Any) -> None:
        self._pylon, self._nodes = pylon, nodes

    def has(self, name: str) -> bool:
        """Whether the camera has it, now."""
        node = self._nodes.GetNode(name)
        return bool(node is not None and node.IsValid() and node.IsReadable())

    def choices(self, name: str) -> Sequence[str]:
        """What an enumeration can be."""
        return tuple(self._nodes.GetNode(name).Symbolics)

    def read(self, name: str) -> Value:
        """What it is; raises CameraError."""
        with self._told():
            value: Value = self._node(name).GetValue()
            return value

    def write(self, name: str, value: Value) -> None:
        """Set it; raises CameraError with pylon's reason."""
        with self._told():
            node = self._node(name)
            node.SetValue(float(value) if isinstance(node, self._pylon.FloatParameter) else value)

    def _node(self, name: str) -> Any:
        node = self._nodes.GetNode(name)
        if node is None or not node.IsValid():
            raise CameraError("the camera has no such feature")
        return node

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self._generic, TypeError) as error:
            raise CameraError(_reason(error)) from error

    @property
    def _generic(self) -> type[Exception]:
        exception: type[Exception] = self._pylon.GenericException
        return exception


class PylonDevice:
    """One opened Basler camera, as `sdk_camera.Device`."""

    def __init__(self, pylon: Any, camera: Any, features: PylonFeatures, where: str) -> None:
        self._pylon, self._camera, self._where = pylon, camera, where
        self._format = str(features.read("PixelFormat"))

    def trigger(self) -> None:
        """Expose now.

        Raises:
            CameraError: pylon failed.
        """
        with self._failures():
            if self._camera.CanWaitForFrameTriggerReady():  # a camera still busy with the last frame ignores a trigger
                self._camera.WaitForFrameTriggerReady(_READY_MS, self._pylon.TimeoutHandling_Return)
            self._camera.ExecuteSoftwareTrigger()

    def next(self, timeout_s: float) -> Exposure | None:
        """The next exposure.

        Raises:
            CameraError: pylon failed.
        """
        with self._failures():
            result = self._camera.RetrieveResult(round(timeout_s * 1e3), self._pylon.TimeoutHandling_Return)
            if not result.IsValid():
                return None
            try:
                return self._exposure(result)
            finally:
                result.Release()

    def skip(self) -> None:
        """Give back what lies waiting.

        Raises:
            CameraError: pylon failed.
        """
        with self._failures():
            while (result := self._camera.RetrieveResult(0, self._pylon.TimeoutHandling_Return)).IsValid():
                result.Release()

    def gone(self) -> str:
        """Whether pylon has seen the camera go."""
        removed = self._camera.IsCameraDeviceRemoved() or not self._camera.IsGrabbing()
        return f"{self._where}: is away; look at its cable, power and network" if removed else ""

    def close(self) -> None:
        """Stop and let go."""
        with contextlib.suppress(self._pylon.GenericException):
            self._camera.StopGrabbing()
            self._camera.Close()
        with contextlib.suppress(self._pylon.GenericException):
            self._camera.DestroyDevice()

    def _exposure(self, result: Any) -> Exposure:
        frame_id = int(result.GetBlockID())
        if not result.GrabSucceeded():
            return Exposure(frame_id=frame_id, pixels=None, fault=f"{' '.join(result.GetErrorDescription().split())} look at the link")
        with result.GetMemoryView() as buffer:
            return Exposure(frame_id=frame_id, pixels=frame_pixels(buffer, self._format, result.GetWidth(), result.GetHeight()))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except self._pylon.GenericException as error:
            raise CameraError(f"{self._where}: pylon failed: {_reason(error)}") from error


def settings_of(serial: str) -> dict[str, Value]:
    """What a connected camera is set to now, as options.

    Raises:
        CameraError: it cannot be opened.
        PluginError: pypylon is not installed.
    """
    pylon = imported()
    camera = _opened(pylon, serial, f"camera {serial}")
    try:
        return {"serial": serial, **described(PylonFeatures(pylon, camera.GetNodeMap()))}
    finally:
        camera.Close()


def _connect(pylon: Any, serial: str | None, wanted: Wanted, buffers: int, where: str) -> PylonDevice:
    camera = _opened(pylon, serial, where)
    try:
        features = PylonFeatures(pylon, camera.GetNodeMap())
        apply(wanted, features, where=where)
        device = PylonDevice(pylon, camera, features, where)
        camera.MaxNumBuffer.SetValue(buffers)
        camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
        return device
    except pylon.GenericException as error:
        camera.Close()
        raise CameraError(f"{where}: pylon failed: {_reason(error)}") from error
    except BaseException:
        camera.Close()
        raise


def _opened(pylon: Any, serial: str | None, where: str) -> Any:
    try:
        camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(_the_one(pylon, serial, where)))
        camera.Open()
    except pylon.GenericException as error:
        raise CameraError(f"{where}: cannot be opened: {_reason(error)}; check that no other program has it open") from error
    return camera


def _the_one(pylon: Any, serial: str | None, where: str) -> Any:
    found = list(pylon.TlFactory.GetInstance().EnumerateDevices())
    fitting = [one for one in found if serial is None or one.GetSerialNumber() == serial]
    if len(fitting) != 1:
        there = ", ".join(one.GetSerialNumber() for one in found) or "none"
        advice = "name one of them: serial" if fitting else "check its power, cable and address"
        raise CameraError(f"{where}: found {len(fitting)} such cameras, wanted one; connected are {there}; {advice}")
    return fitting[0]


def _reason(error: Exception) -> str:
    """Pylon's sentence without the place in its source."""
    return " ".join(str(error).split(" : ")[0].split()).rstrip(".")
