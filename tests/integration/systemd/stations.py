"""Stations beside the example, made of it."""

from __future__ import annotations

from .machine import Machine

EXAMPLE = "etc/edge-inspect/example"
_PORTS = iter(range(1503, 1600))


def another(machine: Machine, name: str, **blocks: str) -> None:
    """A station like the example under another name, with a port of its own.

    Args:
        machine: where the service is installed.
        name: of the station.
        blocks: what stands under `camera`, `runtime` or another key of one line in its file.
    """
    machine.run("cp", "-a", f"/{EXAMPLE}", f"/etc/edge-inspect/{name}")
    file = machine.root / "etc/edge-inspect" / name / "station.yaml"
    lines = [
        next((f"{key}: {blocks[key]}" for key in blocks if line.startswith(f"{key}:")), line) for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines).replace("/example", f"/{name}").replace("1502", str(next(_PORTS))) + "\n")


def drop_in(machine: Machine, unit: str, service: str) -> None:
    """Change a unit; what the last call has changed is gone. It is read after every other drop-in."""
    folder = machine.root / f"etc/systemd/system/{unit}.d"
    folder.mkdir(exist_ok=True)
    (folder / "zz-test.conf").write_text(f"[Service]\n{service}")
    machine.run("systemctl", "daemon-reload")


def documented(machine: Machine, unit: str, *names: str) -> None:
    """Have a unit use drop-ins that come with the program, as systemd/README.md says, and no others that came so before."""
    machine.run("rm", "-rf", f"/etc/systemd/system/{unit}.d")
    for name in names:
        file = f"/opt/edge-inspect/current/systemd/drop-ins/{name}"
        machine.run("install", "-Dm644", "-t", f"/etc/systemd/system/{unit}.d", file)
    machine.run("systemctl", "daemon-reload")
