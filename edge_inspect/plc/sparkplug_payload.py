"""The payload of Sparkplug B: a protobuf message of metrics, as chapter 6.4 of the specification 3.0.0 has it. Pure.

Only the fields that a station uses are described; the protobuf library passes over the others. The description is made here, from the field
numbers of the specification, so that no generated file has to be kept in step with the library.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

Value = bool | int | float | str
_Field = descriptor_pb2.FieldDescriptorProto


class DataType(enum.IntEnum):
    """What a metric holds (chapter 6.4.16)."""

    INT32 = 3
    INT64 = 4
    UINT16 = 6
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


_HELD_IN = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.UINT16: "int_value",
    DataType.UINT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.DATETIME: "long_value",
}
_WIDTH = {"int_value": 32, "long_value": 64}
"""Bits of the unsigned number that holds signed ones too, as two's complement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One value.

    Attributes:
        name: "" where only the alias is given.
        alias: number that stands for the name after the birth; None without.
        datatype: what it holds; None in a command that leaves it to the birth.
        value: None for a value that is not there.
        timestamp_ms: when it was so, UTC [ms since 1970].
        historical: it is not the current value, but one that waited.
    """

    name: str = ""
    alias: int | None = None
    datatype: DataType | None = None
    value: Value | None = None
    timestamp_ms: int = 0
    historical: bool = False


def encode(metrics: Iterable[Metric], *, timestamp_ms: int, seq: int | None) -> bytes:
    """A payload; `seq` is None for a death, which has none."""
    payload = _PAYLOAD(timestamp=timestamp_ms)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        _put(payload.metrics.add(), metric)
    encoded: bytes = payload.SerializeToString()
    return encoded


def decode(content: bytes) -> tuple[Metric, ...]:
    """The metrics of a command.

    Raises:
        ValueError: it is no payload.
    """
    try:
        payload = _PAYLOAD.FromString(content)
    except DecodeError as error:
        raise ValueError("no Sparkplug payload") from error
    return tuple(_metric(metric) for metric in payload.metrics)


def _put(into: Any, metric: Metric) -> None:
    if metric.name:
        into.name = metric.name
    if metric.alias is not None:
        into.alias = metric.alias
    into.timestamp = metric.timestamp_ms
    if metric.datatype is not None:
        into.datatype = int(metric.datatype)
    if metric.historical:
        into.is_historical = True
    if metric.value is None or metric.datatype is None:
        into.is_null = True
    else:
        field = _HELD_IN[metric.datatype]
        setattr(into, field, int(metric.value) % 2 ** _WIDTH[field] if field in _WIDTH else metric.value)


def _metric(found: Any) -> Metric:
    field = found.WhichOneof("value")
    return Metric(
        name=found.name,
        alias=found.alias if found.HasField("alias") else None,
        datatype=DataType(found.datatype) if found.datatype in set(DataType) else None,
        value=None if field is None or found.is_null else getattr(found, field),
        timestamp_ms=found.timestamp,
        historical=found.is_historical,
    )


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="edge_inspect/sparkplug_b.proto", package="edge_inspect.sparkplug", syntax="proto2")
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for number, name, kind in _METRIC_FIELDS:
        field = metric.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
        if name.endswith("_value"):
            field.oneof_index = 0
    payload.field.add(name="timestamp", number=1, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics",
        number=2,
        type=_Field.TYPE_MESSAGE,
        type_name=".edge_inspect.sparkplug.Payload.Metric",
        label=_Field.LABEL_REPEATED,
    )
    payload.field.add(name="seq", number=3, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_inspect.sparkplug.Payload"))


_METRIC_FIELDS = (
    (1, "name", _Field.TYPE_STRING),
    (2, "alias", _Field.TYPE_UINT64),
    (3, "timestamp", _Field.TYPE_UINT64),
    (4, "datatype", _Field.TYPE_UINT32),
    (5, "is_historical", _Field.TYPE_BOOL),
    (7, "is_null", _Field.TYPE_BOOL),
    (10, "int_value", _Field.TYPE_UINT32),
    (11, "long_value", _Field.TYPE_UINT64),
    (12, "float_value", _Field.TYPE_FLOAT),
    (13, "double_value", _Field.TYPE_DOUBLE),
    (14, "boolean_value", _Field.TYPE_BOOL),
    (15, "string_value", _Field.TYPE_STRING),
)
_PAYLOAD = _described()
