"""Every page that the tools write, opened in a real browser: no complaint, nothing asked for outside, nothing wider than the window."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest

from edge_inspect.cli.main import main
from tests.unit.field.calibration.conftest import station  # noqa: F401 - a fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.once, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: chromium)")]

WIDE, NARROW = 1200, 400
LOADED = re.compile(r'"url":"([^"]*)"')


def chromium(page: Path, *words: str, width: int = WIDE) -> subprocess.CompletedProcess[str]:
    """Open a page without a window, in a profile of its own."""
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--enable-logging=stderr"),
        *(f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},4000", *words, page.as_uri()),
    ]
    environment = os.environ | {"HOME": str(page.parent)}
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=environment)


def widths(page: Path, width: int) -> tuple[int, int]:
    """How wide the page is, and how wide the window: a copy of it says so by a script of ours."""
    copy = page.with_name(f"measured-{width}.html")
    said = "<script>document.title = `${document.documentElement.scrollWidth} ${innerWidth}`</script></body>"
    copy.write_text(page.read_text().replace("</body>", said))
    found = re.search(r"<title>(\d+) (\d+)</title>", chromium(copy, "--dump-dom", width=width).stdout)
    assert found is not None
    return int(found[1]), int(found[2])


def check(page: Path) -> None:
    """Open a written page and hold it against all of that."""
    picture, network = page.with_suffix(".png"), page.with_suffix(".net.json")
    opened = chromium(page, f"--screenshot={picture}", f"--log-net-log={network}")
    assert "CONSOLE" not in opened.stderr, opened.stderr
    drawn = cv2.imread(str(picture))
    assert drawn is not None, opened.stderr
    assert len({tuple(pixel) for pixel in drawn[::7, ::7].reshape(-1, 3).tolist()}) > 20
    assert asked_outside(network) == set()
    for width in (WIDE, NARROW):
        wide, window = widths(page, width)
        assert wide <= window, f"{page.name} is {wide} px wide in a window of {window} px"


def asked_outside(network: Path) -> set[str]:
    """Addresses in the browser's own log of its network but those that Chromium asks its maker, whatever page is open."""
    asked = {url for url in LOADED.findall(network.read_text()) if url.startswith(("http:", "https:", "ws:", "wss:"))}
    return {url for url in asked if not re.search(r"//[^/]*(google|gvt1|googleapis|gstatic)[^/]*/", url)}


def test_the_preview_of_a_calibration(station, capsys):  # noqa: F811
    assert main(["calibrate", "--good", "good", "--bad", "bad", "--false-rejects", "0.05", "--report", "pages/calibrate.html"]) == 0
    check(station / "pages" / "calibrate.html")
    capsys.readouterr()


def test_the_study(tmp_path, capsys):
    rows = [
        f"p{part},{'good' if part < 20 else 'bad'},{trial},{'OK' if (part < 20) != (part == 3 and trial == 2) else 'NG'}"
        for part in range(30)
        for trial in (1, 2, 3)
    ]
    (tmp_path / "study.csv").write_text("\n".join(["part,reference,trial,verdict", *rows]))
    assert main(["msa", str(tmp_path / "study.csv"), "--report", str(tmp_path / "pages" / "msa.html")]) == 0
    check(tmp_path / "pages" / "msa.html")
    capsys.readouterr()


@pytest.mark.workshop
def test_the_evaluation(tmp_path):
    from edge_inspect.config import PluginBlock
    from edge_inspect.workshop.evaluation.evaluate import evaluate
    from edge_inspect.workshop.evaluation.labelled import labelled_set
    from edge_inspect.workshop.evaluation.report import write_report
    from tests.conftest import write_part
    from tests.unit.workshop.evaluation.conftest import write_set

    write_set(tmp_path / "data" / "cells", good=[128, 129, 130, 150], defects={"scratch": [158, 168, 138], "dent": [98, 88]})
    cells = labelled_set(tmp_path / "data", "cells")
    found = evaluate(write_part(tmp_path / "cell"), cells, runtime=PluginBlock(kind="onnx"), robustness=True, resamples=50)
    (tmp_path / "pages").mkdir()
    write_report(found, tmp_path / "pages" / "evaluate.html", machine="a machine")
    check(tmp_path / "pages" / "evaluate.html")


def test_the_check_itself_finds_what_is_wrong(tmp_path):
    page = tmp_path / "pages" / "wrong.html"
    page.parent.mkdir()
    page.write_text("<!doctype html><body><p style='width:3000px'>wide</p><script>nothing.at.all()</script></body>")
    with pytest.raises(AssertionError, match="CONSOLE"):
        check(page)
    assert widths(page, WIDE)[0] >= 3000
    page.write_text("<!doctype html><body><img src='http://192.0.2.1/x.png'></body>")
    network = page.with_suffix(".net.json")
    chromium(page, "--dump-dom", "--virtual-time-budget=500", f"--log-net-log={network}")
    assert asked_outside(network) == {"http://192.0.2.1/x.png"}
