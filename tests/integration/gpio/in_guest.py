"""Runs inside the guest: a cell on gpio-sim lines, driven from the outside of its lines. Prints one JSON line for each thing it saw.

The lines are made by configfs; what a wire would do to an input is its `pull`, what a wire would see of an output is its `value`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

CONFIG = Path("/sys/kernel/config/gpio-sim/cell")
NAMES = ("OK", "NG", "FAULT", "READY", "BUSY", "VALID", "BEAT", "TRIG", "GATE", "ENC_A", "ENC_B", "SENSOR")
OUTPUTS = ("OK", "NG", "FAULT", "READY", "BUSY", "VALID", "GATE")
PATIENCE_S = 240.0
PULSE_MS = 3000
DISTANCE_MS = 22_000
LEAD_MS = 1000
GATE_MS = 6000
STATION = """name: cell
recipe: calibration/cell/recipe.yaml
camera: {{kind: folder, path: parts, pace: trigger}}
runtime: onnx
trigger: plc
deadline_ms: 20000
plc:
  {{kind: gpio, chip: cell-lines, ok: OK, ng: NG, fault: FAULT, ready: READY, busy: BUSY, results_valid: VALID, heartbeat: BEAT,
    trigger: TRIG, hold: {hold}, pulse_ms: {pulse}, active_low: [ng]}}
gate: {{distance: {distance}, pulse: {gate}, lead: {lead}, pitch: 8000, output: {{chip: cell-lines, line: GATE, active_low: true}}}}
outputs: [{{kind: jsonl, path: data/log}}]
"""


def say(what: str, **facts: object) -> None:
    print("SAW " + json.dumps({"what": what, **facts}), flush=True)


class Wires:
    """The lines of gpio-sim as a wire sees them, and every change of an output with its time."""

    def __init__(self) -> None:
        bank = CONFIG / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text(str(len(NAMES)))
        (bank / "label").write_text("cell-lines")
        for offset, name in enumerate(NAMES):
            (bank / f"line{offset}").mkdir()
            (bank / f"line{offset}" / "name").write_text(name)
        (CONFIG / "live").write_text("1")
        device = (CONFIG / "dev_name").read_text().strip()
        chip = (bank / "chip_name").read_text().strip()
        self._folder = Path("/sys/devices/platform") / device / chip
        self.changes: dict[str, list[tuple[float, bool]]] = {name: [(0.0, self.level(name))] for name in OUTPUTS}
        threading.Thread(target=self._watch, daemon=True).start()

    def level(self, name: str) -> bool:
        return (self._line(name) / "value").read_text().strip() == "1"

    def drive(self, name: str, level: bool) -> None:
        (self._line(name) / "pull").write_text("pull-up" if level else "pull-down")

    def pulse(self, name: str) -> float:
        at = time.monotonic()
        self.drive(name, True)
        time.sleep(0.02)
        self.drive(name, False)
        return at

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > until:
                say("gave up", waiting_for=what)
                sys.exit(1)
            time.sleep(0.005)

    def lengths_ms(self, name: str, *, since: float, level: bool) -> list[float]:
        """How long the line had this level, each time [ms]."""
        marks = [mark for mark in self.changes[name] if mark[0] >= since]
        return [(after[0] - mark[0]) * 1e3 for mark, after in pairwise(marks) if mark[1] is level]

    def starts_ms(self, name: str, *, since: float, level: bool) -> list[float]:
        return [(at - since) * 1e3 for at, now in self.changes[name] if at >= since and now is level]

    def _line(self, name: str) -> Path:
        return self._folder / f"sim_gpio{NAMES.index(name)}"

    def _watch(self) -> None:
        while True:
            for name in OUTPUTS:
                level = self.level(name)
                if self.changes[name][-1][1] is not level:
                    self.changes[name].append((time.monotonic(), level))
            time.sleep(0.001)


class Cell:
    """The station as a process, and its lines."""

    def __init__(self, folder: Path, wires: Wires) -> None:
        self.folder, self.wires = folder, wires
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, hold: str = "pulse") -> None:
        text = STATION.format(hold=hold, pulse=PULSE_MS, distance=DISTANCE_MS, gate=GATE_MS, lead=LEAD_MS)
        (self.folder / "station.yaml").write_text(text)
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml"]
        self.process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.STDOUT, stdout=(self.folder / "log.txt").open("ab"))
        self.wires.wait(lambda: self._ended() or self.wires.level("READY"), "READY")
        say("ready", ended=self._ended())

    def _ended(self) -> bool:
        ended = self.process is not None and self.process.poll() is not None
        if ended:
            say("station ended", log=(self.folder / "log.txt").read_text()[-2000:])
            sys.exit(1)
        return False

    def part(self, what: str, *, gate: bool) -> None:
        """One part, from its trigger until it is past the gate."""
        wires = self.wires
        wires.wait(lambda: wires.level("READY"), "READY")
        before = len(wires.changes["VALID"])
        at = wires.pulse("TRIG")
        wires.wait(lambda: len(wires.changes["VALID"]) >= before + 2, "a whole pulse of VALID")
        wires.wait(lambda: time.monotonic() > at + (DISTANCE_MS + GATE_MS) / 1e3 + 3.0, "the part at the gate")
        say(
            what,
            ok_ms=wires.lengths_ms("OK", since=at, level=True),
            ng_ms=wires.lengths_ms("NG", since=at, level=False),
            fault_ms=wires.lengths_ms("FAULT", since=at, level=True),
            gate_from_ms=wires.starts_ms("GATE", since=at, level=False),
            gate_ms=wires.lengths_ms("GATE", since=at, level=False),
            expected=gate,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def refusal(**options: object) -> str:
    from edge_inspect.digital_io import Line, open_lines
    from edge_inspect.errors import PlcError

    try:
        with open_lines([Line(signal="ok", output=True, **{"line": "OK", **options})], who="plc: gpio"):
            return "taken"
    except PlcError as error:
        return str(error)


def turn_an_encoder(wires: Wires) -> None:
    """A real incremental encoder on two lines, forwards, back and forwards; what is counted of it."""
    from edge_inspect.config import Encoder, Gate
    from edge_inspect.gate.belts import belt_opener

    wires.drive("ENC_A", False)
    wires.drive("ENC_B", False)
    encoder = Encoder(kind="gpio", chip="cell-lines", a="ENC_A", b="ENC_B")
    with belt_opener(Gate(distance=100, pulse=10, pitch=20, encoder=encoder))() as belt:
        start = belt.read(time.monotonic_ns())
        phases = [(True, False), (True, True), (False, True), (False, False)]
        counts, expected = [], start
        for steps in (400, -100, 200):
            order = phases if steps > 0 else [(False, True), (True, True), (True, False), (False, False)]
            for step in range(abs(steps)):
                a, b = order[step % 4]
                wires.drive("ENC_A", a)
                wires.drive("ENC_B", b)
                expected += 1 if steps > 0 else -1
                until = time.monotonic() + 5.0  # two simulated interrupts are one where the first was not taken yet
                while belt.read(time.monotonic_ns()) != expected and time.monotonic() < until:
                    time.sleep(0)
            counts.append(belt.read(time.monotonic_ns()) - start)
        say("encoder", counts=counts, suspect=belt.suspect())


def main() -> None:
    os.environ["OPENCV_LOG_LEVEL"] = "ERROR"
    say("without a chip", text=refusal())
    wires = Wires()
    say("chip", text=refusal(line="LAMP"), other=refusal(line=0, chip="gpiochip9"))
    turn_an_encoder(wires)
    wires.drive("GATE", False)
    wires.drive("NG", False)
    cell = Cell(Path(sys.argv[1]), wires)
    cell.start()
    say("busy line", text=refusal())
    wires.wait(lambda: wires.level("GATE"), "the belt to run clear after the start")
    cell.part("good part", gate=False)
    cell.part("good part", gate=False)
    cell.part("bad part", gate=True)
    wires.wait(lambda: wires.level("READY") and wires.level("GATE"), "READY")
    say("before kill", levels={name: wires.level(name) for name in OUTPUTS})
    cell.kill()
    wires.wait(lambda: not wires.level("READY"), "the kernel to take the lines back")
    say("after kill", levels={name: wires.level(name) for name in OUTPUTS}, again=refusal())
    cell.start(hold="until-next")
    wires.wait(lambda: wires.level("GATE"), "the belt to run clear after the second start")
    say("stopped", code=cell.stop(), levels={name: wires.level(name) for name in OUTPUTS})


if __name__ == "__main__":
    main()
