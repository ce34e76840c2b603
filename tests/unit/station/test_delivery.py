"""What a delivery asks of its outputs for each part."""

from __future__ import annotations

from contextlib import nullcontext

from edge_inspect.outputs.background import run_in_background
from edge_inspect.outputs.catching_up import open_catching_up
from edge_inspect.station.delivery import Delivery
from edge_inspect.station.promised import Promised
from edge_inspect.testing import sample_inspections


class Asked:
    """An output that counts how often its alarm is read."""

    def __init__(self):
        self.reads = 0
        self.alarm_text = "look at me"

    def emit(self, inspection):
        pass

    def holds(self, sequence):
        return False

    @property
    def alarm(self):
        self.reads += 1
        return self.alarm_text


class Status:
    def __init__(self):
        self.alarms = {}

    def alarm(self, source, text):
        self.alarms[source] = text
        return False

    def note(self, inspection):
        pass


def delivery(output, status):
    return Delivery(plc=None, outputs=[("records", output)], status=status, promised=Promised(None, station="a"))


def test_the_alarm_of_an_output_is_read_once_a_part_also_behind_others():
    output, status = Asked(), Status()
    with open_catching_up(nullcontext(output), name="records") as catching_up:
        told = delivery(catching_up, status)
        assert status.alarms["records"] == "look at me"
        before = output.reads
        told.record(sample_inspections()[0])
        assert output.reads - before == 1
        output.alarm_text = ""
        told.record(sample_inspections()[0])
        assert status.alarms["records"] == ""


def test_the_alarm_of_an_output_in_the_background_is_read_once_a_part():
    output, status = Asked(), Status()
    with run_in_background(nullcontext(output), queue=4, name="records") as background:
        told = delivery(background, status)
        before = output.reads
        told.record(sample_inspections()[0])
        assert output.reads - before == 1
    assert status.alarms["records"] == "look at me"
