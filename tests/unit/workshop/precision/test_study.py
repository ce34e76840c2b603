"""What lower precisions cost, measured on a small set of made parts."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_inspect.workshop.evaluation.labelled import Labelled, LabelledSet

pytest.importorskip("openvino")
pytestmark = pytest.mark.workshop


@pytest.fixture(scope="module")
def rows(taught, good_folder, tmp_path_factory) -> list[dict]:
    from edge_inspect.workshop.precision.study import measure_precisions

    folder = tmp_path_factory.mktemp("study") / "part"
    shutil.copytree(taught[0].parent, folder)
    pictures = sorted(good_folder.iterdir())
    black = folder / "black.png"
    import cv2

    cv2.imwrite(str(black), 0 * cv2.imread(str(pictures[0])))
    defective = [Labelled(picture=black, kind="black", mask=None)]
    labelled = LabelledSet(name="plates", images=(*(Labelled(picture=one, kind="good", mask=None) for one in pictures[:6]), *defective))
    return measure_precisions(folder / "recipe.yaml", pictures, labelled, family="plate finder")


def test_every_precision_has_a_row_and_float32_is_what_the_others_are_held_against(rows):
    by = {row["precision"]: row for row in rows}
    assert list(by) == ["fp32", "fp16", "int8"]
    assert (by["fp32"]["image_auroc_loss"], by["fp32"]["flipped"], by["fp32"]["largest_move"]) == (0, 0, 0)
    assert by["fp32"]["engine_ms_share_of_fp32"] == 1
    assert 0 < by["fp16"]["largest_move"] < by["int8"]["largest_move"]
    assert by["int8"]["layers"] > 40
    assert all(row["images"] == 7 and row["image_auroc"] == 1 for row in rows)


def test_rows_are_kept_one_of_a_kind_and_told_on_the_page(rows, tmp_path: Path):
    from edge_inspect.workshop.precision.study import record

    record(tmp_path, rows, machine="a test")
    record(tmp_path, [{**rows[0], "image_auroc": 0.25}], machine="a test")
    kept = json.loads((tmp_path / "precision.json").read_text())
    assert [(row["precision"], row["machine"]) for row in kept] == [("fp16", "a test"), ("fp32", "a test"), ("int8", "a test")]
    page = (tmp_path / "precision.md").read_text()
    assert "| plate finder | plates | fp32 | 0.2500 |" in page
    assert re.search(r"\| plate finder \| plates \| int8 \| 1\.0000 .* \d+ of \d+ \|", page)


def test_an_engine_for_the_study_is_taught_once(good_folder, tmp_path: Path, monkeypatch):
    from edge_inspect.workshop.precision import study

    plate = SimpleNamespace(name="plate", locator=None, size=None, part_of=None)
    taught = []
    monkeypatch.setattr(study, "teach", lambda images, **given: taught.append(given) or (tmp_path / "part" / "thresholds.json").touch())
    for _ in range(2):
        assert study.teach_for_study(tmp_path / "part", plate, sorted(good_folder.iterdir())).exists()
    assert [(given["width"], given["height"]) for given in taught] == [(256, 256)]
