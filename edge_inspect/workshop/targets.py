"""What is known of the devices that engines are built for: `edge-inspect build --target list`.

Sources: this project's own reading (JetPack and its TensorRT, 5.3 without INT8), NVIDIA's support matrices of TensorRT 8.4
(precisions by compute capability) and 10.1 (everything from 7.0 on), the release notes of 10.8 (GeForce 50-series), and
the names that tensorrt_rtx 1.7 has (what it builds ahead of time). `tensorrt` says what these pages tell: other versions may
serve a device too. Nothing here was tried on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_inspect.model_folder import Precision

WITHOUT_INT8 = frozenset({"5.0", "5.2", "5.3", "6.0", "6.2"})
"""Compute capabilities that TensorRT's support matrices list without INT8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of device.

    Attributes:
        name: as people call it.
        compute_capability: of its GPU, major.minor.
        precisions: that TensorRT lists for this capability and that we build.
        tensorrt: versions of TensorRT that the sources name for it.
        jetpack: for a Jetson, which JetPack brings which TensorRT.
        ahead_of_time: tensorrt_rtx builds for it on a machine without a GPU.
    """

    name: str
    compute_capability: str
    precisions: tuple[Precision, ...]
    tensorrt: str
    jetpack: str = ""
    ahead_of_time: bool = False


_ALL: tuple[Precision, ...] = ("fp32", "fp16", "int8")
_ORIN = "6.1, 6.2: TensorRT 10.3"

TARGETS = (
    Target(
        name="Jetson Nano",
        compute_capability="5.3",
        precisions=("fp32", "fp16"),
        tensorrt="8.2.1, float32 input, opset 13",
        jetpack="4.6.1 or newer 4.6 (L4T 32.7.x): TensorRT 8.2.1",
    ),
    Target(name="Jetson Orin Nano", compute_capability="8.7", precisions=_ALL, tensorrt="10.x", jetpack=_ORIN),
    Target(name="Jetson Orin NX", compute_capability="8.7", precisions=_ALL, tensorrt="10.x", jetpack=_ORIN),
    Target(
        name="Jetson AGX Orin",
        compute_capability="8.7",
        precisions=_ALL,
        tensorrt="10.x; 11.4.1 or newer",
        jetpack=f"{_ORIN}; 7.2.2 or newer: TensorRT 11.4.1",
    ),
    Target(name="RTX 20", compute_capability="7.5", precisions=_ALL, tensorrt="8.4 to 10.1", ahead_of_time=True),
    Target(name="RTX 30", compute_capability="8.6", precisions=_ALL, tensorrt="8.4 to 10.1", ahead_of_time=True),
    Target(name="RTX 40", compute_capability="8.9", precisions=_ALL, tensorrt="10.1", ahead_of_time=True),
    Target(name="RTX 50", compute_capability="12.0", precisions=_ALL, tensorrt="10.8 or newer", ahead_of_time=True),
    Target(name="A100", compute_capability="8.0", precisions=_ALL, tensorrt="8.4 to 10.1", ahead_of_time=True),
    Target(name="H100", compute_capability="9.0", precisions=_ALL, tensorrt="10.1"),
)


def has_int8(compute_capability: str) -> bool:
    """Whether TensorRT computes in INT8 on GPUs of this capability."""
    return compute_capability not in WITHOUT_INT8


def target_lines() -> Iterator[str]:
    """The table as text, one line each, headings first."""
    rows = [("device", "capability", "precisions", "TensorRT", "built ahead", "JetPack")]
    rows += [
        (one.name, one.compute_capability, " ".join(one.precisions), one.tensorrt, "yes" if one.ahead_of_time else "no", one.jetpack)
        for one in TARGETS
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
