"""Offline bundles for the machine: our wheel alone, and the same with a file changed, as another version of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from .machine import ROOT


def build_bundle(folder: Path) -> Path:
    """What `make wheelhouse` makes, without what we depend on: the machine has that from /srv/site-packages."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "build-wheelhouse"), str(folder), "--only-ours"], check=True, capture_output=True)
    return folder


def changed_bundle(bundle: Path, folder: Path, *, file: str, old: str, new: str) -> Path:
    """The bundle with one file of the wheel changed; its hash is the new wheel's."""
    shutil.copytree(bundle, folder)
    [wheel] = folder.glob("*.whl")
    before = hashlib.sha256(wheel.read_bytes()).hexdigest()
    _rewrite(wheel, file, old, new)
    requirements = folder / "requirements.txt"
    requirements.write_text(requirements.read_text().replace(before, hashlib.sha256(wheel.read_bytes()).hexdigest()))
    return folder


def tampered_bundle(bundle: Path, folder: Path) -> Path:
    """The bundle with a wheel that is not the one whose hash it names."""
    shutil.copytree(bundle, folder)
    [wheel] = folder.glob("*.whl")
    _rewrite(wheel, "edge_inspect/cli/run.py", "return end(0)", "return end(1)")
    requirements = folder / "requirements.txt"
    requirements.write_text(requirements.read_text() + "\n")  # another bundle, so that it is not taken for the one installed
    return folder


def checkout_without_index(folder: Path) -> Path:
    """What `systemd/install` reads of a checkout, and in `no-pip` a pip that only says what it was asked for, and fails."""
    (folder / "edge_inspect").mkdir(parents=True)
    for name in ("edge_inspect/__init__.py", "setup.cfg", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "systemd", folder / "systemd")
    (folder / "no-pip" / "pip").mkdir(parents=True)
    (folder / "no-pip" / "pip" / "__init__.py").touch()
    (folder / "no-pip" / "pip" / "__main__.py").write_text("import sys; sys.exit('asked for ' + sys.argv[-1])\n")
    return folder


def _rewrite(wheel: Path, file: str, old: str, new: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    text = contents[file].decode()
    if old not in text:
        raise AssertionError(f"{file} has no {old!r}")
    contents[file] = text.replace(old, new).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
