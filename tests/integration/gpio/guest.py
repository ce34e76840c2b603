"""A machine with real GPIO lines: QEMU, Debian's kernel and its gpio-sim, on this machine's own files.

A build machine has no GPIO chip and may load no module. So Debian's kernel is started in QEMU (emulated: KVM within a virtual machine
is not to be relied upon), with this machine's root file system read-only over 9p and a memory overlay on top; what runs in it is this
checkout in this environment. Debian leaves gpio-sim out of its kernel: it is built here from Debian's own source package. Packages are
downloaded and unpacked into a cache folder that git ignores, and nothing is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".cache" / "gpio-guest"
PACKAGES = ("linux-image-{}", "linux-headers-{}", "linux-headers-{common}", "linux-kbuild-{version}", "linux-source-{version}")
SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "cpio": "cpio", "gcc": "gcc", "make": "make", "apt-get": "apt", "dpkg-deb": "dpkg"}
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "configfs")
DOWNLOAD_WITHIN_S = 600.0
RUN_WITHIN_S = 900.0

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module.ko || echo "GUEST cannot load $module"; done
mount -t configfs configfs /sys/kernel/config
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose hostroot /host || echo "GUEST no files"
mount -t tmpfs tmpfs /up; mkdir /up/files /up/work
mount -t overlay -o lowerdir=/host,upperdir=/up/files,workdir=/up/work overlay /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
chroot /root /bin/sh -c "$(cat /command)" </root/dev/null
echo "GUEST ends with $?"
poweroff -f
"""


class CannotRun(Exception):
    """Why there is no guest here."""


def missing_programs() -> list[str]:
    """Packages that the guest needs and this machine lacks."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return missing if shutil.which("busybox") else [*missing, "busybox-static"]


def make_guest() -> Path:
    """The guest's folder; kernel and module are made once.

    Raises:
        CannotRun: no kernel package can be had, or the module does not build.
    """
    if os.uname().machine != "x86_64":
        raise CannotRun("the guest is an x86-64 machine")
    if missing := missing_programs():
        raise CannotRun(f"the packages {', '.join(missing)} are not installed")
    kernel = _kernel()
    folder = CACHE / kernel
    if not (folder / "module" / "gpio-sim.ko").exists():
        _unpack(kernel, folder)
        _build_module(kernel, folder)
    _pack_initrd(kernel, folder)
    return folder


def run_in_guest(folder: Path, command: str) -> str:
    """What `command` and the kernel print; it has this machine's files, and what it writes is gone afterwards."""
    initrd = folder / "run.initrd"
    with_command = folder / "command"
    with_command.mkdir(exist_ok=True)
    (with_command / "command").write_text(command)
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=b"command\n", cwd=with_command, stdout=subprocess.PIPE, check=True
    ).stdout
    initrd.write_bytes((folder / "initrd").read_bytes() + archive)
    arguments = [
        *("qemu-system-x86_64", "-M", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "2560", "-nographic", "-no-reboot"),
        *("-nic", "none", "-kernel", str(folder / "vmlinuz"), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 quiet panic=-1 nowatchdog no_timer_check"),  # an emulated timer may be late on a busy machine
        *("-virtfs", "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap"),
    ]
    found = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_WITHIN_S, check=False)
    return found.stdout.decode(errors="replace") + found.stderr.decode(errors="replace")


def _kernel() -> str:
    """Release of the kernel that Debian's own package stands for."""
    found = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Depends: linux-image-(\S+-amd64)", found)
    if match is None:
        raise CannotRun("apt knows no package linux-image-amd64 (a machine of Debian with its package lists is needed)")
    return match.group(1)


def _unpack(kernel: str, folder: Path) -> None:
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    version = ".".join(kernel.split(".")[:2])
    names = [name.format(kernel, common=kernel.replace("-amd64", "-common"), version=version) for name in PACKAGES]
    try:
        subprocess.run(["apt-get", "download", *names], cwd=packages, check=True, capture_output=True, timeout=DOWNLOAD_WITHIN_S)
    except subprocess.SubprocessError as error:
        raise CannotRun(f"the packages {', '.join(names)} cannot be downloaded: {error}") from error
    for package in packages.glob("*.deb"):
        if not package.name.startswith("linux-source"):
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    [source] = packages.glob("linux-source-*.deb")
    wanted = " ".join(f"linux-source-{version}/{path}" for path in SOURCES)
    subprocess.run(
        f"dpkg-deb --fsys-tarfile {source} | tar -xO ./usr/src/linux-source-{version}.tar.xz | tar -xJ --strip-components=1 {wanted}",
        shell=True,
        cwd=folder,
        check=True,
    )
    shutil.copy(folder / "root" / "boot" / f"vmlinuz-{kernel}", folder / "vmlinuz")
    shutil.rmtree(packages)


def _build_module(kernel: str, folder: Path) -> None:
    """gpio-sim and the interrupts it simulates, as one module; one call is not exported and has one beside it that is."""
    headers = folder / "root" / "usr" / "src" / f"linux-headers-{kernel}"
    common = headers.with_name(headers.name.replace("-amd64", "-common"))
    (headers / "Makefile").write_text(f"include {common}/Makefile\n")
    module = folder / "module"
    module.mkdir(exist_ok=True)
    shutil.copy(folder / SOURCES[0], module / "sim.c")
    shutil.copy(folder / SOURCES[1], module)
    interrupts = (folder / SOURCES[2]).read_text()
    (module / "irq_sim.c").write_text(interrupts.replace("handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq(irqnum)"))
    (module / "Makefile").write_text("obj-m := gpio-sim.o\ngpio-sim-y := sim.o irq_sim.o\n")
    built = subprocess.run(["make", "-C", headers, f"M={module}", "modules"], capture_output=True, text=True, check=False)
    if built.returncode:
        raise CannotRun(f"gpio-sim does not build against {kernel}: {built.stderr[-500:]}")


def _pack_initrd(kernel: str, folder: Path) -> None:
    tree = folder / "tree"
    for name in ("bin", "modules", "proc", "sys", "dev", "host", "up", "root"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("busybox") or "", tree / "bin" / "busybox")
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    found = {path.stem.replace("-", "_"): path for path in (folder / "root" / "lib" / "modules" / kernel).rglob("*.ko")}
    found["gpio_sim"] = folder / "module" / "gpio-sim.ko"
    order: list[str] = []
    for name in (*MODULES, "gpio_sim"):
        _add_module(name, found, order)
    for name in order:
        shutil.copy(found[name], tree / "modules" / f"{name}.ko")
    (tree / "modules" / "order").write_text("\n".join(order))
    files = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=files.encode(), cwd=tree, stdout=subprocess.PIPE, check=True)
    (folder / "initrd").write_bytes(packed.stdout)


def _add_module(name: str, found: dict[str, Path], order: list[str]) -> None:
    """A module after those that it needs."""
    if name in order or name not in found:
        return
    match = re.search(rb"\0depends=([^\0]*)\0", found[name].read_bytes())
    for needed in match.group(1).decode().split(",") if match else ():
        _add_module(needed.replace("-", "_"), found, order)
    order.append(name)
