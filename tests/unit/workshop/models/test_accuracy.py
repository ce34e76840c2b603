"""The accuracy runner: one made set from pictures to the page."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.workshop.accuracy import DATA_SETS, DataSet, Run, measure, missing, record, recorded
from edge_inspect.workshop.accuracy_budgets import BUDGETS, SMALL_SETS, runs
from edge_inspect.workshop.accuracy_report import held_against, write_page

pytestmark = pytest.mark.torch

Plate = Callable[..., np.ndarray]
MADE = DataSet(name="screw")


def made_set(folder: Path, plate: Plate) -> Path:
    """Twenty good plates to train on, four good and four spoilt ones to test with."""
    for place, seeds, spoilt in (("train/good", range(20), False), ("test/good", range(50, 54), False), ("test/gap", range(60, 64), True)):
        (folder / MADE.name / place).mkdir(parents=True)
        for seed in seeds:
            pixels = plate(seed, width=64, height=64)
            if spoilt:
                pixels[18:32, 26:36] = pixels[38:52, 26:36]
            cv2.imwrite(str(folder / MADE.name / place / f"{seed:03}.png"), pixels)
    return folder


def disturbed(disturbance: str, strength: float, auroc: float | None, rejected: float) -> dict[str, object]:
    return {
        "disturbance": disturbance,
        "strength": strength,
        "undisturbed": strength in {0, 1},
        "auroc": auroc,
        "false_reject_rate": rejected,
    }


DISTURBED = [
    disturbed("salt_and_pepper", 0, 0.96, 0.0),
    disturbed("salt_and_pepper", 25, 0.93, 0.01),
    disturbed("low_light", 1, 0.96, 0.0),
    disturbed("low_light", 0.5, 0.95, 0.05),
    disturbed("strong_light", 2.0, 0.4, 0.5),
    disturbed("shadow", 0.5, 0.9, 0.114),
]


def test_a_run_is_trained_exported_judged_recorded_and_told_on_the_page(tmp_path: Path, plate: Plate) -> None:
    run = Run(family="padim", system="padim", data_set=MADE, settings={"width": 64, "height": 64, "dimensions": 24})
    row = measure(run, data=made_set(tmp_path, plate), work=tmp_path / "work", threads=1, machine="a test")
    assert {"image_auroc", "image_ap", "pixel_auroc", "aupro_30", "f1", "false_reject_rate", "ms_per_image"} <= set(row)
    assert (row["family"], row["set"], row["seed"], row["machine"]) == ("padim", "screw", 0, "a test")
    assert row["image_auroc"] >= 0.9
    out = tmp_path / "results"
    assert missing([run], out) == [run]
    record(out, row)
    record(
        out,
        {
            **row,
            "family": "mdaae_sagan",
            "despeckle": True,
            "image_auroc": 0.96,
            "robustness": DISTURBED,
        },
    )
    rows = record(out, row)
    assert [each["family"] for each in rows] == ["mdaae_sagan", "padim"]
    assert missing([run], out) == []
    write_page(out, recorded(out))
    page = (out / "accuracy.md").read_text()
    assert f"| padim | {row['image_auroc']:.3f} |" in page
    assert "0.95 met" in page or "0.95 missed" in page
    assert "| strong_light | 2.0 | 0.400 | 0.500 |" in page
    assert "| screw | yes | 0.960 | 0.930 | 0.969 met |" in page
    assert "| 0.050 | 0.500 (above) | 0.114 |" in page


def test_a_disturbance_that_costs_too_much_is_told_as_missed(tmp_path: Path) -> None:
    common = {"family": "mdaae_sagan", "set": "screw", "seed": 0, "image_auroc": 0.96, "promise": {"bound": 0.03}, "false_reject_rate": 0.0}
    told = {
        None: "| screw | no | 0.960 | not measured | missed | 0.030 |",
        0.91: "| screw | no | 0.960 | 0.910 | 0.948 missed | 0.030 |",
    }
    for auroc, line in told.items():
        robustness = [disturbed("salt_and_pepper", 25, auroc, 1.0)]
        assert any(said.startswith(line) for said in held_against([{**common, "robustness": robustness}]))
    assert not list(held_against([{**common, "robustness": []}]))


def test_a_set_of_which_no_size_is_said_keeps_its_pictures_proportions(tmp_path: Path, plate: Plate) -> None:
    data = made_set(tmp_path, plate)
    for file in data.rglob("*.png"):
        pixels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(file), np.repeat(pixels, 2, axis=1))
    run = Run(family="padim", system="padim", data_set=MADE, settings={"dimensions": 24})
    row = measure(run, data=data, work=tmp_path / "work", threads=1, machine="a test")
    assert (row["settings"]["width"], row["settings"]["height"]) == (352, 192)


def test_every_budget_is_planned_on_its_sets_and_small_sets_get_their_own() -> None:
    planned = list(runs(seeds=(0, 1)))
    assert len({run.key for run in planned}) == len(planned)
    assert {run.family for run in planned} == set(BUDGETS)
    assert [run.data_set.name for run in runs(["padim (as it lies)"])] == ["screw"]
    flagship = {run.data_set.name: run.settings for run in runs(["mdaae_sagan"])}
    assert set(flagship) == set(DATA_SETS)
    assert all((flagship[name]["copies"] > 1) == (name in SMALL_SETS) for name in flagship)
    assert [run.data_set.name for run in runs(["mdaae"], sets=["cookie"])] == ["cookie"]


def test_a_budget_says_how_large_the_image_is_and_a_long_part_stays_long() -> None:
    planned = {(run.family, run.data_set.name): run.settings for run in runs()}
    sizes = {key: (settings.get("width"), settings.get("height")) for key, settings in planned.items()}
    assert sizes["dae", "screw"] == (192, 64)
    assert sizes["dae", "kolektor"] == (64, 64)
    assert sizes["padim (larger image)", "kolektor"] == (192, 512)
    assert sizes["mdaae_sagan", "screw"] == (None, None)


def test_the_page_says_which_figures_prove_nothing(tmp_path: Path, plate: Plate) -> None:
    run = Run(family="padim", system="padim", data_set=MADE, settings={"width": 64, "height": 64, "dimensions": 24})
    row = measure(run, data=made_set(tmp_path, plate), work=tmp_path / "work", threads=1, machine="a test")
    write_page(tmp_path, [row])
    assert "prove nothing" not in (tmp_path / "accuracy.md").read_text()
    write_page(tmp_path, [row, {**row, "set": "elpv_poly"}])
    assert "elpv_poly: the named validation part" in (tmp_path / "accuracy.md").read_text()
