"""How long a start takes, each in a fresh process: imports, until an engine is accepted and warm, until the first verdict."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.config import PluginBlock
from edge_inspect.errors import EngineError

REPEATS = 5
_IMPORT = "import time; started = time.perf_counter(); import {module}; print(1e3 * (time.perf_counter() - started))"
_READY = """
import sys, time
from pathlib import Path
from edge_inspect.config import PluginBlock
from edge_inspect.field.bench_frames import make_frames
from edge_inspect.field.benchmark import open_bench
from edge_inspect.field.device import most_resident_bytes
from edge_inspect.model_folder import open_model_folder
model = open_model_folder(Path(sys.argv[1]))
image = model.manifest.input
with open_bench(model, PluginBlock.model_validate_json(sys.argv[2])) as bench:
    bench.inspector.rehearse()
    ready = time.perf_counter()  # the clock is the machine's: the parent reads the same
    frame = make_frames(model, 2 * image.width, 2 * image.height, image.channels)[0]
    shown = time.perf_counter()
    bench.inspector.inspect(frame)
    first = time.perf_counter() - (shown - ready)  # no camera has to draw its frame
    print(1e3 * ready, 1e3 * first, most_resident_bytes() / 1e6)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """Median of five starts, each in a fresh process. Files come from the page cache, as after a restart of the service.

    Attributes:
        import_ms: `import edge_inspect`.
        import_line_ms: import of the whole line (`edge_inspect.station`).
        ready_ms: from the start of the process until the engine is verified, opened, accepted and warm; no camera, no PLC.
        first_verdict_ms: from the start of the process until the first verdict stands, without a cache of compiled graphs.
        first_verdict_cached_ms: the same with a filled cache; None where the runtime has none.
        peak_mb: most memory that such a process had in RAM [MB].
    """

    import_ms: float
    import_line_ms: float
    ready_ms: float
    first_verdict_ms: float
    first_verdict_cached_ms: float | None
    peak_mb: float


def measure_startup(model: Path, runtime: PluginBlock) -> Startup:
    """Start Python again and again.

    Raises:
        EngineError: the engine did not become ready.
    """
    starts = [_start(model, runtime) for _ in range(REPEATS)]
    return Startup(
        import_ms=_median([_import_ms("edge_inspect") for _ in range(REPEATS)]),
        import_line_ms=_median([_import_ms("edge_inspect.station") for _ in range(REPEATS)]),
        ready_ms=_median([ready_ms for ready_ms, _, _ in starts]),
        first_verdict_ms=_median([first_ms for _, first_ms, _ in starts]),
        first_verdict_cached_ms=_cached_ms(model, runtime),
        peak_mb=_median([peak_mb for _, _, peak_mb in starts]),
    )


def _cached_ms(model: Path, runtime: PluginBlock) -> float | None:
    if runtime.kind != "openvino":
        return None
    with tempfile.TemporaryDirectory(prefix="edge-inspect-cache-") as folder:
        cached = PluginBlock.model_validate({"kind": runtime.kind, **runtime.options, "cache": folder})
        _start(model, cached)  # fills it
        return _median([_start(model, cached)[1] for _ in range(REPEATS)])


def _import_ms(module: str) -> float:
    return float(_said(_IMPORT.format(module=module)))


def _start(model: Path, runtime: PluginBlock) -> tuple[float, float, float]:
    """Until ready [ms], until the first verdict [ms], and the most memory [MB]."""
    started = time.perf_counter()
    ready, first, peak_mb = map(float, _said(_READY, str(model), runtime.model_dump_json()).split())
    return ready - 1e3 * started, first - 1e3 * started, peak_mb


def _said(program: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:]
        raise EngineError(f"a fresh process did not become ready: {said}; run the bench without --startup to see why")
    return done.stdout


def _median(values_ms: list[float]) -> float:
    return round(statistics.median(values_ms), 1)
