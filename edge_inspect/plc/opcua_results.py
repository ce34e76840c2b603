"""Results as OPC 40100-1 has them: `ResultDataType`, the newest kept for clients that ask. Fields are described in docs/opcua.md."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asyncua import ua

from edge_inspect.datatypes import Verdict
from edge_inspect.plc.opcua_made import Made
from edge_inspect.plc.result_document import result_document
from edge_inspect.plc.signals import TROUBLE_MEANING

COMPLETED, FAILED = 1, 4
"""Of ResultStateDataType: a part that was inspected, and one that was not (OPC 40100-1, 12.18)."""
MOST_REGIONS = 64
"""Regions in the flat list; the JSON holds them all."""
REGION_NUMBERS = 6
HANDLES = 256
"""Handles a client may hold without giving them back; the oldest are forgotten."""
UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """What a client calls a part when it starts its job; None for what it did not name."""

    meas: Any = None
    part: Any = None
    recipe: Any = None
    product: Any = None


def vision(name: str) -> Any:
    """A data type of the machine vision nodeset, which asyncua makes when it reads that."""
    return getattr(ua, name)


def result_data(made: Made, *, run: str, ids: Ids) -> Any:
    """The ResultDataType of one part; `run` tells this start of the station from all others."""
    result, inspection = made.result, made.inspection
    data = vision("ResultDataType")()
    data.ResultId = vision("ResultIdDataType")(Id=f"{run}-{made.count:06d}")
    data.JobId = vision("JobIdDataType")(Id=job_id(run, result.acquisition))
    data.HasTransferableDataOnFile = data.IsPartial = data.IsSimulated = False
    data.ResultState = FAILED if result.verdict is Verdict.FAULT else COMPLETED
    data.MeasId, data.PartId, data.ExternalRecipeId, data.ProductId = ids.meas, ids.part, ids.recipe, ids.product
    if ids.part is None and inspection is not None and inspection.part_id:
        data.PartId = vision("PartIdDataType")(Id=inspection.part_id)
    data.InternalRecipeId = recipe_id(made.job, "" if inspection is None else inspection.recipe)
    data.InternalConfigurationId = vision("ConfigurationIdDataType")(Id="" if inspection is None else inspection.calibration_id)
    data.CreationTime = made.at
    data.ProcessingTimes = _times(made)
    data.ResultContent = list(_content(made))
    return data


def job_id(run: str, acquisition: int) -> str:
    """The id of a job: one part."""
    return f"{run}-A{acquisition:05d}"


def recipe_id(job: int, name: str = "") -> Any:
    """The internal id of a recipe is the number of its job."""
    made = vision("RecipeIdInternalDataType")(Id=str(job))
    made.Description = ua.LocalizedText(name) if name else None
    return made


def _times(made: Made) -> Any:
    took = timedelta(microseconds=0 if made.inspection is None else made.inspection.latency.verdict / 1000)
    start = made.at - took if made.inspection is None else made.inspection.taken_at
    times = vision("ProcessingTimesDataType")(StartTime=start, EndTime=made.at)
    times.ProcessingDuration = took.total_seconds() * 1000
    return times


def _content(made: Made) -> Iterator[ua.Variant]:
    """In the order of docs/opcua.md; new ones are added at the end only."""
    result, inspection = made.result, made.inspection
    document = result_document(result, inspection)
    regions = () if inspection is None else inspection.regions
    yield ua.Variant(document["verdict"], ua.VariantType.String)
    yield ua.Variant(TROUBLE_MEANING[result.trouble] if inspection is None else inspection.reason, ua.VariantType.String)
    yield ua.Variant(float(result.score), ua.VariantType.Double)
    yield ua.Variant(float(result.threshold), ua.VariantType.Double)
    yield ua.Variant(result.sequence & UINT32, ua.VariantType.UInt32)
    yield ua.Variant(int(result.trouble), ua.VariantType.UInt16)
    yield ua.Variant(len(regions), ua.VariantType.UInt32)
    numbers = [
        float(number)
        for region in regions[:MOST_REGIONS]
        for number in (region.left, region.top, region.right, region.bottom, region.area_px, region.peak)
    ]
    yield ua.Variant(numbers, ua.VariantType.Double, is_array=True)
    yield ua.Variant(json.dumps(document, allow_nan=False), ua.VariantType.String)


class ResultRing:
    """The newest results, and handles given out for them.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._handles: deque[int] = deque(maxlen=HANDLES)
        self._last_handle = 0

    def __len__(self) -> int:
        """Results kept."""
        return len(self._results)

    def add(self, data: Any) -> None:
        """Keep one; the oldest gives way."""
        self._results[data.ResultId.Id] = data
        while len(self._results) > self._size:
            self._results.popitem(last=False)

    def get(self, result_id: str) -> Any | None:
        """One by its id; None where it is not kept (any more)."""
        return self._results.get(result_id)

    def newest_first(self, wanted: dict[str, str], state: int) -> list[Any]:
        """Those that fit.

        Args:
            wanted: id wanted of each field, as `{"PartId": "4711"}`; an empty one fits all.
            state: ResultState wanted; 0 fits all.
        """
        return [data for data in reversed(self._results.values()) if _fits(data, wanted, state)]

    def hand_out(self) -> int:
        """A new handle, never 0."""
        self._last_handle = self._last_handle % UINT32 + 1
        self._handles.append(self._last_handle)
        return self._last_handle

    def give_back(self, handle: int) -> bool:
        """Whether it was given out."""
        if handle not in self._handles:
            return False
        self._handles.remove(handle)
        return True


def _fits(data: Any, wanted: dict[str, str], state: int) -> bool:
    if state not in (0, data.ResultState):
        return False
    return all(not one or getattr(getattr(data, name), "Id", None) == one for name, one in wanted.items())
