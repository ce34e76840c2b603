"""A machine with a real systemd as PID 1: a copy-on-write view of this one's root, booted by systemd-nspawn.

Nothing of this machine is changed: what is written inside lies in a tmpfs and is gone afterwards. The machine has a network of its own
with nothing but loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[3]
PYTHON = Path("/srv/python/bin") / "python{}.{}".format(*sys.version_info[:2])
ENVIRONMENT = {"PYTHONPATH": "/srv/site-packages", "LD_LIBRARY_PATH": "/srv/python/lib"}
"""What an interpreter that was moved needs to find its packages and itself."""

BOOT_S = 60
POWER_OFF_S = 20
# What this machine's root would start beside systemd itself is not asked for: the default target is the basic one.
TARGET = "systemd.unit=basic.target"
ENTER = 'until [ "$1" = -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'
"""Of a shell: go into the control groups up to `--`, then become the command after it."""


class NoMachine(Exception):
    """Why no such machine can be booted here."""


class Machine:
    """One booted machine; a context manager.

    Inside, the tests' Python lies in /srv/python and its packages in /srv/site-packages: their places outside may be in a home
    folder, which no service may look into.
    """

    def __init__(self, folder: Path, binds: Mapping[Path, str] = {}) -> None:
        """Nothing is booted yet.

        Args:
            folder: an empty folder of this machine.
            binds: folder of this machine to where it lies inside, read-only.
        """
        self._folder = folder
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        self._binds = {Path(sys.base_prefix): "/srv/python", Path(packages): "/srv/site-packages", **binds}
        self._undo = ExitStack()
        self._leader = 0

    @property
    def root(self) -> Path:
        """Its root, as seen from this machine."""
        return self._folder / "root"

    def __enter__(self) -> Machine:
        """Boot it.

        Raises:
            NoMachine: why not.
        """
        must_be_possible()
        with ExitStack() as undo:
            self._mount(undo)
            self._boot(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Power it off and take everything away."""
        self._undo.close()

    def run(self, *words: str, check: bool = True, timeout_s: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-p", "-u", "-i", "-n", "-C", "--"]
        inside = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/", **environment}
        done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=timeout_s, check=False, env=inside)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def show(self, unit: str, *keys: str) -> dict[str, str]:
        """Properties of a unit."""
        said = self.run("systemctl", "show", unit, "-p", ",".join(keys)).stdout
        return dict(line.split("=", 1) for line in said.splitlines())

    def wait(self, unit: str, timeout_s: float = 30, **wanted: str) -> dict[str, str]:
        """Wait until these properties of the unit are as wanted; how they are."""
        until = time.monotonic() + timeout_s
        while (found := self.show(unit, *wanted, "MainPID", "NRestarts", "StatusText")) | wanted != found:
            if time.monotonic() > until:
                raise AssertionError(f"{unit}: waited {timeout_s} s for {wanted}, found {found}\n{self.journal(unit)}")
            time.sleep(0.05)
        return found

    def journal(self, unit: str, *words: str) -> str:
        """What the journal holds of a unit."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, *words).stdout

    def _mount(self, undo: ExitStack) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _mount(undo, "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(self._folder))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        layers = f"lowerdir=/,upperdir={self._folder / 'upper'},workdir={self._folder / 'work'}"
        _mount(undo, "-t", "overlay", "-o", layers, "overlay", str(self.root))
        for name in ("etc/machine-id", "var/lib/systemd/random-seed"):
            (self.root / name).unlink(missing_ok=True)
        (self.root / "etc/machine-id").touch()

    def _boot(self, undo: ExitStack) -> None:
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-b", "-D", str(self.root), "--private-network"]
        command += ["--console=pipe", "--kill-signal=SIGRTMIN+4", "--hostname=station"]
        command += [f"--bind-ro={outside}:{inside}" for outside, inside in self._binds.items()]
        log = undo.enter_context((self._folder / "boot.log").open("wb"))
        groups = [undo.enter_context(_group_of_its_own(parent, self._folder.name)) for parent in _our_groups()]
        entering = ["sh", "-c", ENTER, "enter", *groups, "--"]
        booted = subprocess.Popen([*entering, *command, TARGET], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        undo.callback(_power_off, booted)
        until = time.monotonic() + BOOT_S
        while not self._is_up(booted.pid):
            if time.monotonic() > until or booted.poll() is not None:
                raise NoMachine(f"systemd-nspawn boots no machine here: {(self._folder / 'boot.log').read_text(errors='replace')[-500:]}")
            time.sleep(0.1)

    def _is_up(self, nspawn: int) -> bool:
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}


def must_be_possible() -> None:
    """Look whether a machine can be booted here at all.

    Raises:
        NoMachine: why not.
    """
    if os.geteuid() != 0:
        raise NoMachine("only root can boot a machine by systemd-nspawn")
    for tool in ("systemd-nspawn", "nsenter", "mount"):
        if shutil.which(tool) is None:
            raise NoMachine(f"there is no {tool} here; Debian: apt-get install systemd-container")


def _our_groups() -> list[Path]:
    """This process's control groups in the hierarchies that systemd keeps its services in."""
    places = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            places[""] = place
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            places["name=systemd"] = place
    ours = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return [Path(f"{places[name]}{group}") for _, name, group in ours if name in places]


@contextmanager
def _group_of_its_own(parent: Path, name: str) -> Iterator[str]:
    """A control group for one machine: two in one would each take the other's services for its own, and take their groups away."""
    group = parent / name
    try:
        group.mkdir()
    except OSError as error:
        raise NoMachine(f"{group}: no control group can be made here: {error.strerror}") from error
    try:
        yield str(group)
    finally:
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):  # somebody is still in it
                Path(folder).rmdir()


def _mount(undo: ExitStack, *words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMachine(f"mount {' '.join(words)}: {done.stderr.strip()}")
    undo.callback(subprocess.run, ["umount", "-l", words[-1]], check=False)


def _power_off(booted: subprocess.Popen[bytes]) -> None:
    booted.send_signal(signal.SIGTERM)
    try:
        booted.wait(POWER_OFF_S)
    except subprocess.TimeoutExpired:
        booted.kill()
        booted.wait()
