"""`acceptance.json`: which engines have agreed with the reference, where, and against which threshold.

An acceptance holds for one file, in one version of one library, on one device, against one set of thresholds. Anything else is another
engine: `demand_acceptance` says what has changed. `edge-inspect build --accept` writes it beside the thresholds, a station at
every start into its data folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from edge_inspect import __version__
from edge_inspect.acceptance.gate import Acceptance
from edge_inspect.config import first_mistake
from edge_inspect.durable import replace_file
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.model_folder import ModelFolder, Precision
from edge_inspect.protocols import Identified, Runtime
from edge_inspect.thresholds import Thresholds

ACCEPTANCE_FILE = "acceptance.json"
ACCEPT = "accept it here with `edge-inspect build --accept`"


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Binding(_Recorded):
    """What an acceptance holds for, and for nothing else.

    `engine_sha256` is the float32 file's, `file_sha256` that of the file that is served, `made_of` what the runtime says of itself
    (library and version, and for a plan its hash and the GPU), `device` the processor or board.
    """

    engine_sha256: str
    file_sha256: str
    precision: Precision
    runtime: str
    made_of: dict[str, str]
    device: dict[str, str]
    calibration_id: str


class AcceptanceRecord(_Recorded):
    """One acceptance. `result` is `Acceptance`, by field; times in ms, infinite differences as the word "infinite"."""

    binding: Binding
    accepted: bool
    result: dict[str, Any]
    software: str
    made_at: AwareDatetime


class _File(_Recorded):
    format: int = 1
    records: tuple[AcceptanceRecord, ...] = ()


def bind(model: ModelFolder, runtime: Runtime, *, kind: str, device: Mapping[str, str], thresholds: Thresholds) -> Binding:
    """What an acceptance of this opened engine would hold for."""
    return Binding(
        engine_sha256=model.engine_sha256,
        file_sha256=model.model_sha256,
        precision=model.precision,
        runtime=kind,
        made_of=dict(runtime.made_of) if isinstance(runtime, Identified) else {},
        device=dict(device),
        calibration_id=thresholds.calibration_id,
    )


def write_acceptance(path: Path, binding: Binding, acceptance: Acceptance, *, mode: int = 0o666) -> AcceptanceRecord:
    """Write what the gate found, in place of what stood there for the same runtime and precision; in one step; a new file gets `mode`.

    Raises:
        ConfigError: the file cannot be written, or what stands there is not one of ours.
    """
    record = _record(binding, acceptance)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _content(path, record, in_force=""), mode=mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error
    return record


def with_acceptance(path: Path, binding: Binding, acceptance: Acceptance, *, in_force: str) -> bytes:
    """What stands in the file once it holds for new thresholds too, beside those in force (their calibration id).

    So the engine is accepted before the new ones stand there and after, whenever power fails.

    Raises:
        ConfigError: what stands there is not one of ours.
    """
    return _content(path, _record(binding, acceptance), in_force=in_force)


def demand_acceptance(path: Path, binding: Binding) -> AcceptanceRecord:
    """The acceptance that holds for this engine, here, against these thresholds.

    Raises:
        EngineError: there is none; what was accepted instead, and what to do.
        ConfigError: the file is not one of ours.
    """
    alike = [record for record in _read(path) if _key(record.binding) == _key(binding)]
    if not alike:
        raise EngineError(f"{path}: no acceptance of {binding.precision} in runtime {binding.runtime} stands there; {ACCEPT}")
    record = next((one for one in reversed(alike) if one.binding == binding), alike[-1])
    if changed := list(_changes(record.binding, binding)):
        raise EngineError(f"{path}: the engine was accepted for something else: {'; '.join(changed)}; {ACCEPT}")
    if not record.accepted:
        raise EngineError(f"{path}: the engine was refused: {'; '.join(record.result['complaints'])}; build it again, then {ACCEPT}")
    return record


def _record(binding: Binding, acceptance: Acceptance) -> AcceptanceRecord:
    return AcceptanceRecord(
        binding=binding,
        accepted=not acceptance.complaints,
        result={name: "infinite" if value == float("inf") else value for name, value in asdict(acceptance).items()},
        software=f"edge-inspect {__version__}",
        made_at=datetime.now(timezone.utc),
    )


def _content(path: Path, record: AcceptanceRecord, *, in_force: str) -> bytes:
    """The file with this record in place of those of the same runtime and precision, but for the thresholds in force."""
    new = record.binding
    stay = [old for old in _read(path) if _key(old.binding) != _key(new) or new.calibration_id != old.binding.calibration_id == in_force]
    return (_File(records=(*stay, record)).model_dump_json(indent=2) + "\n").encode()


def _key(binding: Binding) -> tuple[str, str]:
    return binding.runtime, binding.precision


def _changes(accepted: Binding, here: Binding) -> Iterator[str]:
    old, new = accepted.model_dump(), here.model_dump()
    for name, value in new.items():
        if old[name] != value:
            yield f"{name} was {_short(old[name])}, here is {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(one)}" for name, one in sorted(value.items())) or "unknown"
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _read(path: Path) -> tuple[AcceptanceRecord, ...]:
    try:
        return _File.model_validate_json(path.read_bytes()).records
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not acceptances of this version: {first_mistake(error)}; remove it and {ACCEPT}") from error
