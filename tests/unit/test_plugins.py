"""The plugin door, with a plugin of a third party that is really installed (as a folder with its entry points)."""

import sys
import textwrap

import pytest

from edge_inspect.config import PluginBlock, load_station
from edge_inspect.errors import ConfigError, PluginError
from edge_inspect.plugins import installed, load_factory, prepare, served

ACME = '''
from __future__ import annotations
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal
from pydantic import Field

@contextmanager
def open_line(
    *, name: str, path: Path, fps: Annotated[float, Field(gt=0, le=100)] = 10.0, mode: Literal["a", "b"] = "a",
    lamps: tuple[int, ...] = (), extra: tuple[Path, ...] = (), log: Path | None = None, cache: Path = Path("cache"),
    password: str = "", model_path: str = "", loop: bool = False,
) -> Iterator[dict[str, object]]:
    """Open."""
    yield {key: value for key, value in locals().items()}

class Camera(nullcontext):
    def __init__(self, name: str, gain: int = 1) -> None:
        super().__init__((name, gain))

def open_any(name, speed=3, **more): return nullcontext((name, speed, more))
def open_nameless(*, path: Path): return nullcontext(path)
def open_unknown(*, name: str, scale: Decimal): return nullcontext(scale)
'''
POINTS = """
    [edge_inspect.cameras]
    line = acme_camera:open_line
    class = acme_camera:Camera
    any = acme_camera:open_any
    nameless = acme_camera:open_nameless
    unknown = acme_camera:open_unknown
    absent = acme_camera:open_nothing
    needy = acme_needy:open_camera
    driver = acme_driver:open_camera
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A distribution on the path, as pip would lay it there."""
    site = tmp_path / "site"
    (site / "acme-1.0.dist-info").mkdir(parents=True)
    (site / "acme-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (site / "acme-1.0.dist-info" / "entry_points.txt").write_text(textwrap.dedent(POINTS))
    (site / "acme_camera.py").write_text(ACME)
    (site / "acme_needy.py").write_text("import acme_sdk_that_is_not_installed\n")
    (site / "acme_driver.py").write_text("import ctypes\nctypes.CDLL('libacme-that-is-not-there.so')\n")
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    for name in ("acme_camera", "acme_needy", "acme_driver"):
        sys.modules.pop(name, None)


def opened(base, kind="line", **options):
    with prepare("cameras", PluginBlock(kind=kind, **options), base=base, given={"name": "top"})() as camera:
        return camera


def refused(base, kind="line", **options):
    with pytest.raises(ConfigError) as caught:
        prepare("cameras", PluginBlock(kind=kind, **options), base=base, given={"name": "top"})
    return str(caught.value).splitlines()


def test_an_unknown_kind_lists_the_installed_ones(acme):
    with pytest.raises(PluginError, match=r"cameras: no kind 'lin' is installed; installed are absent, any, class, .*line") as caught:
        load_factory("cameras", "lin")
    assert caught.value.exit_code == 78
    assert "folder" in str(caught.value)


def test_our_own_kinds_come_through_the_same_door():
    assert {"folder", "opencv", "simulated", "video"} <= set(installed("cameras"))
    assert {"onnx", "openvino", "reference"} <= set(installed("runtimes"))
    assert {"jsonl", "database", "images"} <= set(installed("outputs"))
    assert "modbus" in installed("plc")


def test_only_the_kind_that_is_named_is_imported(acme):
    installed("cameras")
    load_factory("cameras", "line")
    assert "acme_camera" in sys.modules
    assert "acme_needy" not in sys.modules


def test_a_door_without_plugins_says_that_there_are_none():
    with pytest.raises(PluginError, match="no kind 'x' is installed; installed are none"):
        load_factory("no such door", "x")


@pytest.mark.parametrize(("kind", "missing"), [("needy", "acme_sdk_that_is_not_installed"), ("driver", "libacme-that-is-not-there.so")])
def test_a_library_that_is_missing_is_named(acme, kind, missing):
    with pytest.raises(PluginError, match=f"cameras: kind '{kind}' needs a library that is missing: .*{missing}.*; install the extra"):
        load_factory("cameras", kind)


def test_a_factory_that_is_missing_is_named(acme):
    with pytest.raises(PluginError, match="kind 'absent' names acme_camera:open_nothing, which is not there"):
        load_factory("cameras", "absent")


def test_a_type_that_cannot_be_found_is_named(acme):
    with pytest.raises(PluginError, match="kind 'unknown' has an option of an unknown type: name 'Decimal' is not defined"):
        prepare("cameras", PluginBlock(kind="unknown", scale=1), base=acme, given={"name": "top"})


def test_a_factory_that_does_not_take_what_the_station_gives_is_refused(acme):
    with pytest.raises(PluginError, match="kind 'nameless' does not take 'name', which the station gives; correct its factory"):
        prepare("cameras", PluginBlock(kind="nameless", path="a"), base=acme, given={"name": "top"})


def test_options_and_what_the_station_gives_reach_the_factory(acme):
    camera = opened(acme, path="parts", fps=5, mode="b", lamps=[1, 2], loop=True, model_path="m")
    assert camera["name"] == "top"
    assert (camera["fps"], camera["mode"], camera["lamps"], camera["loop"], camera["model_path"]) == (5.0, "b", (1, 2), True, "m")


def test_nothing_is_opened_before_it_is_asked_for(acme):
    opener = prepare("cameras", PluginBlock(kind="line", path="parts"), base=acme, given={"name": "top"})
    with opener() as first, opener() as second:
        assert first == second


def test_paths_are_beside_the_file_also_in_lists_and_defaults(acme):
    camera = opened(acme, path="parts", extra=["a", "/b"], log="log")
    assert camera["path"] == acme / "parts"
    assert [str(one) for one in camera["extra"]] == [str(acme / "a"), "/b"]
    assert (camera["log"], camera["cache"]) == (acme / "log", acme / "cache")
    assert opened(acme, path="/parts")["log"] is None


def test_a_class_can_be_a_factory(acme):
    assert opened(acme, "class", gain=3) == ("top", 3)
    assert refused(acme, "class", gain="high") == ["cameras: class: gain: got 'high'; should be a whole number"]


def test_arguments_without_types_take_anything_but_no_other_names(acme):
    assert opened(acme, "any", speed="fast") == ("top", "fast", {})
    assert refused(acme, "any", more=3) == ["cameras: any: more: unknown option; options are speed"]


def test_an_unknown_option_lists_the_known_ones(acme):
    (sentence,) = refused(acme, path="a", speed=3)
    known = "cache, extra, fps, lamps, log, loop, mode, model_path, password, path"
    assert sentence == f"cameras: line: speed: unknown option; options are {known}"


def test_what_the_station_gives_may_not_stand_in_the_file(acme):
    (sentence,) = refused(acme, path="a", name="other")
    assert sentence.startswith("cameras: line: name: unknown option; options are cache")


def test_a_missing_option_is_told(acme):
    assert refused(acme) == ["cameras: line: path: is missing; add it"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fps": "fast"}, "fps: got 'fast'; should be a number"),
        ({"fps": "25"}, "fps: got '25'; should be a number"),
        ({"fps": True}, "fps: got True; should be a number"),
        ({"fps": 0}, "fps: got 0; should be greater than 0"),
        ({"fps": float("inf")}, "fps: got inf; should be a finite number"),
        ({"loop": "yes"}, "loop: got 'yes'; should be true or false"),
        ({"mode": "c"}, "mode: got 'c'; should be 'a' or 'b'"),
        ({"lamps": [1, "x"]}, "lamps.1: got 'x'; should be a whole number"),
        ({"log": 3}, "log: got 3; should be text; put it in quotes"),
    ],
)
def test_an_option_of_another_type_is_told_with_what_to_write(acme, options, sentence):
    assert refused(acme, path="a", **options) == [f"cameras: line: {sentence}"]


def test_a_password_is_not_told(acme):
    (sentence,) = refused(acme, path="a", password=12345678)
    assert sentence == "cameras: line: password: got ***; should be text; put it in quotes"


def test_all_wrong_options_are_told_at_once(acme):
    assert len(refused(acme, fps=0, mode="c", speed=1)) == 4


def test_an_option_of_a_file_is_told_with_its_line(acme):
    (acme / "station.yaml").write_text("name: a\nrecipe: r\ncamera:\n  kind: line\n  lamps: [1, x]\n  speed: 3\ndeadline_ms: 5\n")
    camera = load_station(acme / "station.yaml").camera
    with pytest.raises(ConfigError) as caught:
        prepare("cameras", camera, base=acme, given={"name": "top"})
    assert str(caught.value).replace(f"{acme}/", "").splitlines() == [
        "station.yaml:3: camera.path: is missing; add it",
        "station.yaml:5: camera.lamps.1: got 'x'; should be a whole number",
        "station.yaml:6: camera.speed: unknown option; options are cache, extra, fps, lamps, log, loop, mode, model_path, password, path",
    ]


def test_a_precision_that_there_is_none_of_is_named_with_its_place(tmp_path):
    file = tmp_path / "station.yaml"
    file.write_text(
        "name: a\nrecipe: recipe.yaml\ndeadline_ms: 100\ncamera: {kind: folder, path: pictures}\nruntime: {kind: onnx, precision: fp8}\n"
    )
    with pytest.raises(ConfigError, match=r"station\.yaml:5: runtime\.precision: 'fp8' is none; write one of fp32, fp16, int8"):
        served(None, load_station(file).runtime)


def test_what_is_served_leaves_the_other_options_where_they_stand(tmp_path):
    file = tmp_path / "station.yaml"
    file.write_text(
        "name: a\nrecipe: recipe.yaml\ndeadline_ms: 100\ncamera: {kind: folder, path: pictures}\nruntime:\n  kind: onnx\n  threads: 2\n"
    )

    class Model:
        def at(self, precision):
            return precision

    model, block = served(Model(), load_station(file).runtime)
    assert (model, block.options) == ("fp32", {"threads": 2})
    assert block.place_of("threads") == f"{file}:7: runtime.threads"
