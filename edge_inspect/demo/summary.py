"""What the demo says at the end: verdicts against labels, the promise, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

STAGES = ("wait", "place", "infer", "find", "decide", "emit")


def auroc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """Share of (good, bad) pairs in which the bad part has the higher score; ties count half. None without both kinds.

    Source: Mann and Whitney 1947 (the U statistic); Bamber 1975 (its equality with the area under the ROC curve).
    """
    if not good or not bad:
        return None
    pairs = np.subtract.outer(np.asarray(bad), np.asarray(good))
    return float(np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0))


def summarise(records: Sequence[dict[str, Any]], labels: Sequence[str], *, bound: float | None, promise: str) -> dict[str, Any]:
    """The summary as one JSON object.

    Args:
        records: the station's own log, one record a part, in order.
        labels: what a person said of each part, in the same order.
        bound: the stated bound on false rejects, if the sample carried one.
        promise: the sentence of the thresholds.
    """
    verdicts = [record["verdict"] for record in records]
    pairs = list(zip(records, labels, strict=True))
    good = [record for record, label in pairs if label == "good"]
    bad = [record for record, label in pairs if label != "good"]
    return {
        "parts": len(records),
        "ok": verdicts.count("OK"),
        "ng": verdicts.count("NG"),
        "fault": verdicts.count("FAULT"),
        "good_parts": len(good),
        "defective_parts": len(bad),
        "auroc": _rounded(auroc(_scores(good), _scores(bad))),
        "false_reject_rate": _rounded(_rejected(good)),
        "false_reject_bound": _rounded(bound),
        "detected_rate": _rounded(_rejected(bad)),
        "promise": promise,
        "latency_ms": _percentiles([record["latency_ms"]["verdict"] for record in records if record["score"] is not None]),
        "stages_ms": {
            stage: _percentiles([record["latency_ms"][stage] for record in records if record["score"] is not None]) for stage in STAGES
        },
    }


def sentences(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    latency = summary["latency_ms"]
    return [
        f"{summary['parts']} parts: {summary['ok']} OK, {summary['ng']} NG, {summary['fault']} FAULT",
        f"defective parts found: {_percent(summary['detected_rate'])} of {summary['defective_parts']}; "
        f"good parts rejected: {_percent(summary['false_reject_rate'])} of {summary['good_parts']}",
        f"promise: {summary['promise']}",
        f"AUROC of the image score: {'not defined without both kinds' if summary['auroc'] is None else summary['auroc']}",
        f"exposure to verdict: p50 {latency['p50']} ms, p95 {latency['p95']} ms, p99 {latency['p99']} ms, of which (p50) "
        + ", ".join(f"{stage} {values['p50']}" for stage, values in summary["stages_ms"].items()),
    ]


def _scores(records: Sequence[dict[str, Any]]) -> list[float]:
    return [record["score"] for record in records if record["score"] is not None]


def _rejected(records: Sequence[dict[str, Any]]) -> float | None:
    return sum(record["verdict"] != "OK" for record in records) / len(records) if records else None


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    ranks: npt.NDArray[np.float64] = np.percentile(values or [0.0], (50, 95, 99, 100))
    return {name: round(float(rank), 2) for name, rank in zip(("p50", "p95", "p99", "max"), ranks, strict=True)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"
