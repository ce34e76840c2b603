"""What a station is to a Sparkplug host: its metrics, their types and aliases, and their values of one result or state. Pure."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime

from edge_inspect import __version__
from edge_inspect.datatypes import Inspection, Notices
from edge_inspect.plc.result_document import result_document
from edge_inspect.plc.signals import Result, Status
from edge_inspect.plc.sparkplug_payload import DataType, Metric, Value
from edge_inspect.plc.states import machine_state

BDSEQ, REBIRTH = "bdSeq", "Node Control/Rebirth"
JOB_COMMAND, JOB_ANSWER = "Command/Job", "Command/Answer"
Values = Mapping[str, Value | None]

RESULT_TYPES: dict[str, DataType] = {
    "Result/Sequence": DataType.UINT64,
    "Result/Acquisition": DataType.UINT16,
    "Result/Verdict": DataType.STRING,
    "Result/Pass": DataType.BOOLEAN,
    "Result/Fault": DataType.UINT16,
    "Result/Reason": DataType.STRING,
    "Result/Score": DataType.DOUBLE,
    "Result/Threshold": DataType.DOUBLE,
    "Result/Region Count": DataType.UINT16,
    "Result/Part": DataType.STRING,
    "Result/Recipe": DataType.STRING,
    "Result/Calibration": DataType.STRING,
    "Result/Taken At": DataType.DATETIME,
    "Result/Document": DataType.STRING,
}
NOTICE_METRICS = {notice.name: f"Notices/{notice.name.replace('_', ' ').title()}" for notice in fields(Notices)}
"""The metric of each notice: `Notices/Check Light` of `check_light`."""
GATE_REJECT, GATE_CLEARING = "Gate/Reject", "Gate/Clearing"
STATE_TYPES: dict[str, DataType] = {
    "State": DataType.STRING,
    "Job": DataType.UINT16,
    "Error": DataType.UINT16,
    **dict.fromkeys((*NOTICE_METRICS.values(), GATE_REJECT, GATE_CLEARING), DataType.BOOLEAN),
}
COMMAND_TYPES: dict[str, DataType] = {JOB_COMMAND: DataType.INT32, JOB_ANSWER: DataType.STRING}
SOFTWARE = "Properties/Software"


class Catalogue:
    """The metrics of one node: in a birth by name, type and alias, afterwards by alias alone.

    Attributes:
        values: what each holds now.
    """

    def __init__(self, *, commands: bool) -> None:
        """`commands` adds those by which a host may change the job."""
        self._types = {SOFTWARE: DataType.STRING, **STATE_TYPES, **RESULT_TYPES, **(COMMAND_TYPES if commands else {})}
        self._alias = {name: number for number, name in enumerate(self._types, start=1)}
        self.values: dict[str, Value | None] = dict.fromkeys(self._types) | {SOFTWARE: f"edge-inspect {__version__}"}
        self._at: dict[str, int] = {}

    def birth(self, bdseq: int) -> Iterator[Metric]:
        """Every metric that will ever be published, with what it holds now."""
        now = now_ms()
        yield Metric(name=BDSEQ, datatype=DataType.INT64, value=bdseq, timestamp_ms=now)
        yield Metric(name=REBIRTH, datatype=DataType.BOOLEAN, value=False, timestamp_ms=now)
        for name, datatype in self._types.items():
            at = self._at.get(name, now)
            yield Metric(name=name, alias=self._alias[name], datatype=datatype, value=self.values[name], timestamp_ms=at)

    def data(self, values: Values, at_ms: int) -> tuple[Metric, ...]:
        """These values, which hold from `at_ms` on."""
        self.values.update(values)
        self._at.update(dict.fromkeys(values, at_ms))
        return tuple(
            Metric(alias=self._alias[name], datatype=self._types[name], value=value, timestamp_ms=at_ms) for name, value in values.items()
        )

    def changed(self, values: Values) -> Values:
        """Those that are not what they were."""
        return {name: value for name, value in values.items() if self.values[name] != value}

    def name_of(self, metric: Metric) -> str:
        """The name that a host means, by name or alias."""
        by_alias = {number: name for name, number in self._alias.items()}
        return metric.name or by_alias.get(metric.alias or 0, "")


def historical(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    """The same as values that waited: a host files them under their own time and shows them as nothing current."""
    return tuple(replace(metric, historical=True) for metric in metrics)


def death(bdseq: int) -> tuple[Metric, ...]:
    """The only metric of a death."""
    return (Metric(name=BDSEQ, datatype=DataType.INT64, value=bdseq, timestamp_ms=now_ms()),)


def result_values(result: Result, inspection: Inspection | None) -> Values:
    """One result; the whole of it, regions included, is the JSON of docs/schemas/mqtt-result.json in `Result/Document`."""
    document = result_document(result, inspection)
    return {
        "Result/Sequence": result.sequence,
        "Result/Acquisition": result.acquisition,
        "Result/Verdict": document["verdict"],
        "Result/Pass": document["pass"],
        "Result/Fault": int(result.trouble),
        "Result/Reason": document["reason"],
        "Result/Score": result.score if math.isfinite(result.score) else None,
        "Result/Threshold": result.threshold if math.isfinite(result.threshold) else None,
        "Result/Region Count": result.region_count,
        "Result/Part": "" if inspection is None else inspection.part_id,
        "Result/Recipe": "" if inspection is None else inspection.recipe,
        "Result/Calibration": "" if inspection is None else inspection.calibration_id,
        "Result/Taken At": None if inspection is None else ms_of(inspection.taken_at),
        "Result/Document": json.dumps(document, allow_nan=False),
    }


def state_values(status: Status) -> Values:
    """The station's state, its job, its error code, what a person should look at, and what the reject gate shows."""
    return {
        "State": machine_state(status).value,
        "Job": status.current_job,
        "Error": int(status.error_code),
        **{NOTICE_METRICS[name]: noticed for name, noticed in asdict(status.notices).items()},
        GATE_REJECT: status.reject_gate,
        GATE_CLEARING: status.gate_clearing,
    }


def ms_of(moment: datetime) -> int:
    """UTC [ms since 1970]."""
    return round(moment.timestamp() * 1000)


def now_ms() -> int:
    """UTC [ms since 1970]."""
    return time.time_ns() // 1_000_000
