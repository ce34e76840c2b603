"""The time until a PLC sees a verdict, by a client in a process of its own."""

import pytest

from edge_inspect.errors import PlcError
from edge_inspect.field import wire


def test_every_verdict_is_seen_after_it_was_handed_over():
    visible = wire.measure_visible(20, interval_s=0.005)
    assert 0 < visible["p50"] <= visible["p95"] <= visible["p99"] <= visible["max"]


def test_a_client_that_does_not_start_is_one_sentence(monkeypatch):
    monkeypatch.setattr(wire, "_READER", "raise SystemExit(1)")
    with pytest.raises(PlcError, match="did not start"):
        wire.measure_visible(1)


def test_a_client_that_never_sees_the_last_verdict_is_one_sentence(monkeypatch):
    monkeypatch.setattr(wire, "_READER", "import time; print('connected', flush=True); time.sleep(60)")
    monkeypatch.setattr(wire, "ANSWER_WITHIN_S", 0.2)
    with pytest.raises(PlcError, match="did not see verdict 1"):
        wire.measure_visible(1)
