import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.workshop import study_pictures, teach_report
from edge_inspect.workshop.study_pictures import elpv_pictures, mvtec_pictures
from edge_inspect.workshop.teach_report import Task, costs, record, recorded, study, tasks
from edge_inspect.workshop.teach_study import Measured, Variant, auroc, smoothed_maxima

pytestmark = pytest.mark.workshop

SMALL = {
    "shared": Variant(dimensions=20, block=2),
    "chosen": Variant(embed="chosen", dimensions=20, block=32),
    "all": Variant(embed="all", dimensions=176, block=4, pooling=0.2),
    "low rank": Variant(dimensions=20, block=2, rank=6),
}


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory, plate: Callable[..., np.ndarray]) -> Path:
    """Plates in MVTec AD's layout; the defective ones have a bright disc."""
    folder = tmp_path_factory.mktemp("data") / "plates"
    for kind, seeds in (("train/good", range(16)), ("test/good", range(50, 56)), ("test/disc", range(70, 76))):
        (folder / kind).mkdir(parents=True)
        for seed in seeds:
            pixels = plate(seed).copy()
            if kind == "test/disc":
                cv2.circle(pixels, (40, 52), 6, 220, -1)
            cv2.imwrite(str(folder / kind / f"{seed:03}.png"), pixels)
    return folder


@given(good=st.lists(st.integers(0, 5), min_size=1, max_size=20), defective=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auroc_is_the_chance_that_a_defective_part_scores_higher(good: list[int], defective: list[int]) -> None:
    pairs = [(bad > fine) + 0.5 * (bad == fine) for bad in defective for fine in good]
    assert auroc(good, defective) == pytest.approx(np.mean(pairs))


def test_every_variant_is_measured_on_drawn_and_on_real_defects_and_written(category: Path, tmp_path: Path) -> None:
    pictures = mvtec_pictures(category)
    assert (len(pictures.train), len(pictures.good), len(pictures.defective)) == (16, 6, 6)
    measured = dict(study([Task(pictures=pictures, copies=1, splits=2)], SMALL, size=64))
    spent = costs(SMALL, size=64, repeats=20)
    record(tmp_path, SMALL, measured, spent)
    written = json.loads((tmp_path / "teach.json").read_text())["variants"]
    assert list(written) == list(SMALL)
    for name in SMALL:
        assert 0 <= written[name]["drawn"]["plates"] <= 1
        assert written[name]["test"]["plates"] > 0.9
        assert written[name]["cost"]["ms"] > 0
        assert written[name]["cost"]["megabytes"] > 2.7
    page = (tmp_path / "teach.md").read_text()
    assert "| shared |" in page
    assert "| variant | ms | MB | mean | plates |" in page


def test_a_study_without_costs_is_written_too(tmp_path: Path) -> None:
    record(tmp_path / "new", SMALL, {"plates": dict.fromkeys(SMALL, Measured(drawn=0.75, test=0.5))}, {})
    assert "| shared |  |  | 0.750 | 0.750 |" in (tmp_path / "new" / "teach.md").read_text()


def test_variants_measured_later_leave_the_other_rows_as_they_were(tmp_path: Path) -> None:
    first = {"shared": SMALL["shared"], "taught": teach_report.TAUGHT}
    record(tmp_path, first, {"plates": dict.fromkeys(first, Measured(drawn=0.75, test=0.5))}, {"shared": {"ms": 4.5, "megabytes": 5.8}})
    before = recorded(tmp_path)
    later = {"low rank": SMALL["low rank"]}
    spent = costs(later, beside=SMALL["shared"], size=64, repeats=20)
    record(tmp_path, later, {"plates": {"low rank": Measured(drawn=0.875, test=1.0)}}, spent, kept=before)
    after = recorded(tmp_path)
    assert {name: after[name] for name in first} == before
    assert list(after) == [*first, "low rank"]
    page = (tmp_path / "teach.md").read_text()
    assert "| shared | 4.5 | 5.8 | 0.750 | 0.750 |" in page
    assert "| **taught** |  |  | 0.750 | 0.750 |" in page
    ms = spent["low rank"]
    assert f"| low rank | {ms['ms']} / {ms['beside_ms']} | {ms['megabytes']} | 0.875 | 0.875 |" in page


def test_a_row_of_an_older_study_without_a_rank_is_still_known_as_the_taught_one(tmp_path: Path) -> None:
    record(tmp_path, {"taught": teach_report.TAUGHT}, {"plates": {"taught": Measured(drawn=0.75, test=0.5)}}, {})
    kept = recorded(tmp_path)
    del kept["taught"]["variant"]["rank"]
    record(tmp_path, {}, {}, {}, kept=kept)
    assert "| **taught** |" in (tmp_path / "teach.md").read_text()


def test_a_cell_that_was_not_measured_is_said_to_be_so_and_its_row_has_no_mean(tmp_path: Path) -> None:
    record(tmp_path, {"shared": SMALL["shared"]}, {name: {"shared": Measured(drawn=0.75, test=0.5)} for name in ("plates", "rings")}, {})
    record(tmp_path, {"all": SMALL["all"]}, {"rings": {"all": Measured(drawn=0.25, test=0.5)}}, {}, kept=recorded(tmp_path))
    page = (tmp_path / "teach.md").read_text()
    assert "| shared |  |  | 0.750 | 0.750 | 0.750 |" in page
    assert "| all |  |  | not all measured | not measured | 0.250 |" in page


def test_smoothing_keeps_a_flat_map_and_lowers_a_single_peak() -> None:
    flat, peak = np.full((8, 8), 3.0, np.float32), np.zeros((8, 8), np.float32)
    peak[4, 4] = 1.0
    scores = smoothed_maxima(np.stack([flat, peak]), sigma=1.0)
    assert scores[0] == pytest.approx(3.0)
    assert 0 < scores[1] < 1


def test_the_solar_cells_are_split_without_overlap_and_the_doubtful_left_out() -> None:
    pytest.importorskip("elpv_dataset", reason="needs the extra `demo` (elpv-dataset)")
    pictures = elpv_pictures(taught=100)
    assert len(pictures.train) == 100
    assert not set(pictures.train) & set(pictures.good)
    assert not set(pictures.good) & set(pictures.defective)
    assert len(pictures.train) + len(pictures.good) == 588
    assert all(path.exists() for path in (*pictures.train[:3], *pictures.defective[:3]))


def test_without_the_solar_cells_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_pictures, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"edge-inspect\[demo\]"):
        elpv_pictures()


def test_all_data_sets_of_the_study_are_named_once(category: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    pictures = mvtec_pictures(category)
    monkeypatch.setattr(teach_report, "mvtec_pictures", lambda folder, part_of=None: asked.append(folder.name) or pictures)
    monkeypatch.setattr(teach_report, "elpv_pictures", lambda: asked.append("elpv") or pictures)
    assert len(list(tasks(category.parent))) == len(set(asked)) == 8
