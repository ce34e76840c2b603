"""Aravis, loaded from the system (libaravis 0.8) with ctypes: the few functions that a camera needs, their types, their errors.

Not by gobject-introspection: PyGObject belongs to the distribution's Python and has to be built for any other, while the library alone
serves every interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from typing import Any

from edge_inspect.cameras.features import Value
from edge_inspect.errors import CameraError, PluginError

LIBRARY = "libaravis-0.8.so.0"
_GOBJECT = "libgobject-2.0.so.0"
_GLIB = "libglib-2.0.so.0"

GOOD = 0
"""ArvBufferStatus of a whole image."""

FAULTS = {
    1: "the buffer was cleared",
    2: "packets did not come in time",
    3: "missing packets",
    4: "packets with a wrong id",
    5: "the image is larger than the buffer",
    7: "the filling was broken off",
}
"""The other statuses that a buffer comes with."""


class _Error(ctypes.Structure):
    _fields_ = [("domain", c_uint32), ("code", c_int), ("message", c_char_p)]


# name: (result, arguments); an `error` stands for the last argument, GError **
_ERROR = POINTER(POINTER(_Error))
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (c_char_p, (c_uint,)),
    "arv_get_device_vendor": (c_char_p, (c_uint,)),
    "arv_get_device_model": (c_char_p, (c_uint,)),
    "arv_get_device_serial_nbr": (c_char_p, (c_uint,)),
    "arv_get_device_address": (c_char_p, (c_uint,)),
    "arv_get_device_protocol": (c_char_p, (c_uint,)),
    "arv_camera_new": (c_void_p, (c_char_p, _ERROR)),
    "arv_camera_get_device": (c_void_p, (c_void_p,)),
    "arv_camera_create_stream": (c_void_p, (c_void_p, c_void_p, c_void_p, _ERROR)),
    "arv_camera_get_payload": (c_uint, (c_void_p, _ERROR)),
    "arv_camera_start_acquisition": (None, (c_void_p, _ERROR)),
    "arv_camera_stop_acquisition": (None, (c_void_p, _ERROR)),
    "arv_camera_software_trigger": (None, (c_void_p, _ERROR)),
    "arv_camera_is_gv_device": (c_int, (c_void_p,)),
    "arv_gv_device_is_controller": (c_int, (c_void_p,)),
    "arv_device_read_memory": (c_int, (c_void_p, c_uint64, c_uint32, c_void_p, _ERROR)),
    "arv_device_get_feature": (c_void_p, (c_void_p, c_char_p)),
    "arv_device_is_feature_available": (c_int, (c_void_p, c_char_p, _ERROR)),
    "arv_device_dup_available_enumeration_feature_values_as_strings": (c_void_p, (c_void_p, c_char_p, POINTER(c_uint), _ERROR)),
    "arv_device_get_boolean_feature_value": (c_int, (c_void_p, c_char_p, _ERROR)),
    "arv_device_set_boolean_feature_value": (None, (c_void_p, c_char_p, c_int, _ERROR)),
    "arv_device_get_integer_feature_value": (c_int64, (c_void_p, c_char_p, _ERROR)),
    "arv_device_set_integer_feature_value": (None, (c_void_p, c_char_p, c_int64, _ERROR)),
    "arv_device_get_float_feature_value": (c_double, (c_void_p, c_char_p, _ERROR)),
    "arv_device_set_float_feature_value": (None, (c_void_p, c_char_p, c_double, _ERROR)),
    "arv_device_get_string_feature_value": (c_char_p, (c_void_p, c_char_p, _ERROR)),
    "arv_device_set_string_feature_value": (None, (c_void_p, c_char_p, c_char_p, _ERROR)),
    "arv_gc_boolean_get_type": (c_size_t, ()),
    "arv_gc_enumeration_get_type": (c_size_t, ()),
    "arv_gc_float_get_type": (c_size_t, ()),
    "arv_gc_integer_get_type": (c_size_t, ()),
    "arv_buffer_new_allocate": (c_void_p, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (c_void_p,)),
    "arv_buffer_get_frame_id": (c_uint64, (c_void_p,)),
    "arv_buffer_get_system_timestamp": (c_uint64, (c_void_p,)),
    "arv_buffer_get_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_buffer_get_image_width": (c_int, (c_void_p,)),
    "arv_buffer_get_image_height": (c_int, (c_void_p,)),
    "arv_stream_push_buffer": (None, (c_void_p, c_void_p)),
    "arv_stream_try_pop_buffer": (c_void_p, (c_void_p,)),
    "arv_stream_timeout_pop_buffer": (c_void_p, (c_void_p, c_uint64)),
}


class Aravis:
    """The library. `call` raises what a function puts into its GError.

    Raises:
        PluginError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            library, self._gobject, self._glib = (ctypes.CDLL(name) for name in (LIBRARY, _GOBJECT, _GLIB))
        except OSError as error:
            raise PluginError(
                f"cameras: kind 'genicam' needs the system's Aravis ({error}); install it: apt install libaravis-0.8-0"
            ) from error
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        self._gobject.g_object_unref.argtypes = (c_void_p,)
        self._gobject.g_type_check_instance_is_a.argtypes = (c_void_p, c_size_t)
        self._glib.g_error_free.argtypes = self._glib.g_free.argtypes = (c_void_p,)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call `arv_<name>`.

        Raises:
            CameraError: the library's reason.
        """
        function = getattr(self._library, f"arv_{name}")
        if _FUNCTIONS[f"arv_{name}"][1][-1:] != (_ERROR,):
            return function(*arguments)
        error = POINTER(_Error)()
        result = function(*arguments, byref(error))
        if error:
            text = (error.contents.message or b"no reason given").decode(errors="replace")
            self._glib.g_error_free(error)
            raise CameraError(" ".join(text.split()))
        return result

    def let_go(self, thing: int | None) -> None:
        """Give an object back."""
        if thing:
            self._gobject.g_object_unref(thing)

    def is_a(self, node: int, kind: str) -> bool:
        """Whether a feature is a `boolean`, `enumeration`, `float` or `integer`."""
        return bool(self._gobject.g_type_check_instance_is_a(node, self.call(f"gc_{kind}_get_type")))

    def texts(self, device: int, feature: str) -> tuple[str, ...]:
        """What an enumeration can be now."""
        count = c_uint()
        found = self.call("device_dup_available_enumeration_feature_values_as_strings", device, feature.encode(), byref(count))
        if not found:
            return ()
        listed = ctypes.cast(found, POINTER(c_char_p))
        texts = tuple((listed[index] or b"").decode() for index in range(count.value))
        self._glib.g_free(found)
        return texts

    def image(self, buffer: int) -> memoryview:
        """What a buffer holds, in place: only until the buffer is given back."""
        size = c_size_t()
        start = self.call("buffer_get_data", buffer, byref(size))
        return memoryview((ctypes.c_ubyte * size.value).from_address(start)).cast("B") if start else memoryview(b"")


class AravisFeatures:
    """`features.FeatureMap` over an Aravis device."""

    def __init__(self, aravis: Aravis, device: int) -> None:
        self._aravis, self._device = aravis, device

    def has(self, name: str) -> bool:
        """Whether the camera has it, now."""
        with contextlib.suppress(CameraError):
            return bool(self._node(name) and self._aravis.call("device_is_feature_available", self._device, name.encode()))
        return False

    def choices(self, name: str) -> Sequence[str]:
        """What an enumeration can be."""
        return self._aravis.texts(self._device, name)

    def read(self, name: str) -> Value:
        """What it is; raises CameraError."""
        kind = self._kind(name)
        value = self._aravis.call(f"device_get_{kind}_feature_value", self._device, name.encode())
        if kind == "string":
            return (value or b"").decode()
        return bool(value) if kind == "boolean" else float(value) if kind == "float" else int(value)

    def write(self, name: str, value: Value) -> None:
        """Set it; raises CameraError with Aravis's reason."""
        kind = self._kind(name)
        given = _as_kind(kind, value)
        self._aravis.call(f"device_set_{kind}_feature_value", self._device, name.encode(), given)

    def _kind(self, name: str) -> str:
        node = self._node(name)
        if not node:
            raise CameraError("the camera has no such feature")
        if self._aravis.is_a(node, "enumeration"):
            return "string"
        return next((kind for kind in ("boolean", "float", "integer") if self._aravis.is_a(node, kind)), "string")

    def _node(self, name: str) -> int:
        return self._aravis.call("device_get_feature", self._device, name.encode()) or 0


def _as_kind(kind: str, value: Value) -> bytes | float | int:
    if kind == "string":
        return str(value).encode()
    try:
        return float(value) if kind == "float" else int(value)
    except ValueError as error:
        raise CameraError(f"{value!r} is no number") from error
