"""How long a start takes: imports, and from the start of the process until an engine is accepted and warm."""

from __future__ import annotations

import statistics
import subprocess
import sys
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
from edge_inspect.field.benchmark import open_bench
from edge_inspect.model_folder import open_model_folder
with open_bench(open_model_folder(Path(sys.argv[1])), PluginBlock.model_validate_json(sys.argv[2])) as bench:
    bench.inspector.rehearse()
    print(1e3 * time.perf_counter())  # the clock is the machine's: the parent reads the same
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """Median of five starts, each in a fresh process.

    Attributes:
        import_ms: `import edge_inspect`.
        import_line_ms: import of the whole line (`edge_inspect.station`).
        ready_ms: from the start of the process until the engine is verified, opened, accepted and warm; no camera, no PLC.
    """

    import_ms: float
    import_line_ms: float
    ready_ms: float


def measure_startup(model: Path, runtime: PluginBlock) -> Startup:
    """Start Python again and again. Files come from the page cache, as after a restart of the service.

    Raises:
        EngineError: the engine did not become ready.
    """
    return Startup(
        import_ms=_median([_import_ms("edge_inspect") for _ in range(REPEATS)]),
        import_line_ms=_median([_import_ms("edge_inspect.station") for _ in range(REPEATS)]),
        ready_ms=_median([_ready_ms(model, runtime) for _ in range(REPEATS)]),
    )


def _import_ms(module: str) -> float:
    return float(_said(_IMPORT.format(module=module)))


def _ready_ms(model: Path, runtime: PluginBlock) -> float:
    started = time.perf_counter()
    line = _said(_READY, str(model), runtime.model_dump_json())
    return float(line) - 1e3 * started


def _said(program: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:]
        raise EngineError(f"a fresh process did not become ready: {said}; run the bench without --startup to see why")
    return done.stdout


def _median(values_ms: list[float]) -> float:
    return round(statistics.median(values_ms), 1)
