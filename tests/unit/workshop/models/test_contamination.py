import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop import contamination_report
from edge_inspect.workshop.contaminated_sets import ContaminatedSet, contaminated, contaminations, load_parts, one_against_rest
from edge_inspect.workshop.contamination import METHODS, Budget, measure
from edge_inspect.workshop.contamination_report import PRINTED, record, recorded, run_all
from edge_inspect.workshop.fashion_mnist import CLASSES, FashionMnist, load_fashion_mnist
from edge_inspect.workshop.study_pictures import mvtec_pictures

pytestmark = pytest.mark.torch

TINY = Budget(epochs=3, batch=16, threads=1, settings={"channels": 4, "embedding": 8, "cell_embedding": 4})
SMALL = ImageSize(width=32, height=32, channels=1)
Plate = Callable[..., np.ndarray]


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def pool(each: int = 30) -> FashionMnist:
    """Ten classes that differ in brightness; a picture's last pixel is its number."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), each)
    pixels = np.random.default_rng(0).integers(0, 40, (len(labels), 28, 28, 1), dtype=np.uint8)
    pixels[:, 8:20, 8:20] += (labels * 20)[:, None, None, None].astype(np.uint8)
    return FashionMnist(pixels=pixels, labels=labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 6), ("t10k", 2)):
        images = np.full((count, 28, 28), count, np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    return tmp_path


def test_both_parts_of_fashion_mnist_are_one_pool(folder: Path) -> None:
    data = load_fashion_mnist(folder)
    assert data.pixels.shape == (8, 28, 28, 1)
    assert data.pixels[:, 0, 0, 0].tolist() == [6] * 6 + [2] * 2
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]


def test_a_missing_data_set_is_told_with_the_package_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there; install Debian's package dataset-fashion-mnist"):
        load_fashion_mnist(tmp_path)


DAMAGED = {
    "empty": b"",
    "no gzip": b"no gzip",
    "cut": gzip.compress(b"\0\0\x08\x03"),
    "two axes": idx(np.zeros((2, 28), np.uint8)),
    "eight bytes a value": idx(np.zeros(3)),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named(content: bytes, folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"train-images-idx3-ubyte\.gz: .*install Debian's package"):
        load_fashion_mnist(folder)


def test_pictures_without_labels_are_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(1, np.uint8)))
    with pytest.raises(ConfigError, match="8 pictures, but 7 labels"):
        load_fashion_mnist(folder)


def test_a_tenth_of_what_is_trained_on_is_of_other_classes_and_nothing_is_on_both_sides() -> None:
    data = pool()
    one = one_against_rest(data, normal=3, share=0.1, images=20, seed=0)
    assert (one.name, len(one.train), int(one.train_bad.sum())) == ("dress", 20, 2)
    assert (len(one.unseen), int(one.unseen_bad.sum())) == (12 + 256, 256)
    seen = {picture.tobytes() for picture in one.train}
    assert not seen & {picture.tobytes() for picture in one.unseen}
    good = {picture.tobytes() for picture in data.pixels[data.labels == 3]}
    assert [picture.tobytes() not in good for picture in one.train] == one.train_bad.tolist()


def test_the_paper_s_set_is_the_whole_class_and_a_ninth_as_many_others() -> None:
    one = one_against_rest(pool(each=90), normal=0, share=0.1, images=0, seed=0)
    assert (len(one.train), int(one.train_bad.sum())) == (100, 10)
    assert not (~one.unseen_bad).any()


def test_a_larger_share_keeps_the_bad_pictures_of_a_smaller_and_the_seed_chooses() -> None:
    few, many, other = (
        one_against_rest(pool(), normal=1, share=share, images=20, seed=seed) for share, seed in ((0.1, 0), (0.2, 0), (0.1, 1))
    )
    assert np.array_equal(few.train[few.train_bad], many.train[many.train_bad][:2])
    assert not np.array_equal(few.train, other.train)


def test_more_good_pictures_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="t-shirt: 36 good pictures are wanted, there are 30"):
        one_against_rest(pool(), normal=0, share=0.1, images=40, seed=0)


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory, plate: Plate) -> Path:
    data = tmp_path_factory.mktemp("data") / "plates"
    for kind, seeds in (("train/good", range(40)), ("test/good", range(100, 110)), ("test/disc", range(200, 216))):
        (data / kind).mkdir(parents=True)
        for seed in seeds:
            pixels = plate(seed).copy()
            if kind == "test/disc":
                cv2.circle(pixels, (40, 52), 9, 220, -1)
            cv2.imwrite(str(data / kind / f"{seed:03}.png"), pixels)
    return data


def test_half_the_real_defects_leave_the_test_part_and_the_rest_is_the_same_at_every_share(category: Path) -> None:
    parts = load_parts(mvtec_pictures(category), side_px=64, images=1000, seed=0)
    assert (len(parts.good), len(parts.defective), len(parts.unseen), int(parts.unseen_bad.sum())) == (32, 8, 18, 8)
    assert not {one.tobytes() for one in parts.defective} & {one.tobytes() for one in parts.unseen}
    sets = list(contaminations(parts, [0, 0.25]))
    assert [(one.share, one.contaminant, int(one.train_bad.sum())) for one in sets] == [
        (0, "drawn", 0),
        (0.25, "drawn", 8),
        (0.25, "real", 8),
    ]
    assert all(len(one.train) == 32 and one.unseen is parts.unseen for one in sets)


def test_drawn_defects_stand_on_the_parts_they_replace_and_real_ones_come_from_the_test_part(category: Path) -> None:
    parts = load_parts(mvtec_pictures(category), side_px=64, images=20, seed=0)
    drawn, real = contaminated(parts, "drawn", 0.1), contaminated(parts, "real", 0.1)
    assert np.array_equal(drawn.train[:18], parts.good[:18])
    changed = (drawn.train[18:].astype(int) - parts.good[18:]) != 0
    assert 0 < changed.mean() < 0.2
    assert np.array_equal(real.train[18:], parts.defective[:2])


def test_warm_up_and_halving_keep_their_share_of_fewer_epochs() -> None:
    paper, short = Budget().config("iaead", SMALL), Budget(epochs=25).config("iaead", SMALL)
    assert (paper.epochs, paper.batch, paper.warm_up_epochs, paper.halve_every_epochs) == (250, 256, 20, 50)
    assert (short.warm_up_epochs, short.halve_every_epochs) == (2, 5)
    assert (paper.width, paper.height) == (SMALL.width, SMALL.height)


def test_the_baselines_are_settings_of_the_same_network() -> None:
    configs = {method: Budget().config(method, SMALL) for method in METHODS}
    assert (configs["cae"].loss, configs["cae"].score) == ("reconstruction", "reconstruction")
    assert (configs["deep_svdd"].loss, configs["deep_svdd"].measured_from) == ("svdd", "centre")
    assert (configs["iaead"].loss, configs["iaead"].score, configs["iaead_map"].score) == ("both", "global", "map")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_is_trained_and_judged_on_seen_and_unseen_parts(method: str, category: Path) -> None:
    parts = load_parts(mvtec_pictures(category), side_px=32, images=24, seed=0)
    found = measure(contaminated(parts, "real", 0.25), method, TINY)
    assert 0 <= found["auroc"] <= 1
    assert 0 <= found["auroc_unseen"] <= 1
    assert found["steps"] == 6
    assert set(found["by_score"]) == ({"map"} if method == "iaead_map" else {"global", "reconstruction"})
    assert measure(contaminated(parts, "real", 0.25), method, TINY) | {"cpu_seconds": 0} == found | {"cpu_seconds": 0}


def test_without_contamination_only_unseen_parts_are_judged_and_bad_ones_are_found(category: Path) -> None:
    parts = load_parts(mvtec_pictures(category), side_px=32, images=32, seed=0)
    found = measure(contaminated(parts, "drawn", 0), "cae", TINY)
    assert found["auroc"] is None
    assert found["auroc_unseen"] >= 0.9


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured; the figures are made up."""
    done: list[str] = []

    def made_up(one: ContaminatedSet, method: str, budget: Budget) -> dict[str, Any]:
        done.append(f"{one.name} {method} {budget.epochs}")
        if method == "cae" and one.name == "bag":
            raise KeyboardInterrupt
        figures = {"auroc": 0.75, "auroc_unseen": 0.5, "steps": 7, "cpu_seconds": 3.0}
        return figures | {"by_score": {"global": [0.25, 0.5], "reconstruction": [0.75, 0.5]}}

    monkeypatch.setattr(contamination_report, "measure", made_up)
    return done


def sets(*names: str) -> list[ContaminatedSet]:
    return [one_against_rest(pool(), normal=CLASSES.index(name), share=0.1, images=20, seed=0) for name in names]


def test_what_was_stopped_is_gone_on_with_and_what_stands_is_not_repeated(tmp_path: Path, measured: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_all(sets("coat", "bag"), ["iaead", "cae"], TINY, tmp_path, lambda _: None)
    assert [(run["set"], run["method"]) for run in recorded(tmp_path)] == [("coat", "iaead"), ("coat", "cae"), ("bag", "iaead")]
    with pytest.raises(KeyboardInterrupt):
        run_all(sets("coat", "bag"), ["iaead", "cae"], TINY, tmp_path, lambda _: None)
    assert measured == ["coat iaead 3", "coat cae 3", "bag iaead 3", "bag cae 3", "bag cae 3"]


def test_another_budget_is_another_run_and_another_table(tmp_path: Path, measured: list[str]) -> None:
    for epochs in (3, 4):
        run_all(sets("coat"), ["iaead"], Budget(epochs=epochs), tmp_path, lambda _: None)
    assert measured == ["coat iaead 3", "coat iaead 4"]
    page = (tmp_path / "contamination.md").read_text()
    assert page.count("## Fashion-MNIST, one class against the rest, 10% bad: 20 pictures") == 2


def test_the_page_names_command_and_paper_and_has_no_mean_while_a_class_is_missing(tmp_path: Path, measured: list[str]) -> None:
    run_all(sets("coat"), ["iaead", "cae"], Budget(epochs=3, threads=1), tmp_path, lambda _: None)
    page = (tmp_path / "contamination.md").read_text()
    assert "tools/measure-contamination fashion-mnist --shares 0.1 --images 20 --epochs 3 --batch 256 --seed 0 --threads 1" in page
    assert "| coat | 75.00 | 62.40 | 75.00 | 90.75 | 50.00 | 50.00 |" in page
    assert "| **mean** | not measured | 67.43 | not measured | 88.69 | not measured | not measured |" in page
    run_all(sets(*CLASSES[:8], "ankle-boot"), ["iaead", "cae"], Budget(epochs=3, threads=1), tmp_path, lambda _: None)
    runs = recorded(tmp_path)
    record(tmp_path, [*runs, *({**run, "set": "bag", "auroc": 0.25} for run in runs[:2])])
    assert "| **mean** | 70.00 | 67.43 | 70.00 | 88.69 | 50.00 | 50.00 |" in (tmp_path / "contamination.md").read_text()


def test_means_are_over_the_classes_that_all_methods_were_measured_on(tmp_path: Path, measured: list[str]) -> None:
    run_all(sets("coat"), ["iaead", "cae"], TINY, tmp_path, lambda _: None)
    runs = recorded(tmp_path)
    record(tmp_path, [*runs, {**runs[0], "set": "bag", "by_score": {"global": [1.0, 1.0], "reconstruction": [1.0, 1.0]}}])
    page = (tmp_path / "contamination.md").read_text()
    assert "Mean over the 1 classes that all were measured on" in page
    assert "| iaead | 25.00 / 50.00 | 75.00 / 50.00 | 7 | 3 |" in page
    record(tmp_path, [runs[0], {**runs[1], "set": "bag"}])
    assert "Mean over" not in (tmp_path / "contamination.md").read_text()


def test_the_printed_figures_have_the_printed_means() -> None:
    means = {method: round(float(np.mean(figures)), 2) for method, figures in PRINTED.items()}
    assert means == {
        "cae": pytest.approx(67.43, abs=0.011),
        "deep_svdd": pytest.approx(79.79, abs=0.011),
        "iaead": pytest.approx(88.69, abs=0.011),
    }


def test_real_parts_get_a_table_of_shares(tmp_path: Path, category: Path, measured: list[str]) -> None:
    parts = load_parts(mvtec_pictures(category), side_px=32, images=24, seed=0)
    run_all(contaminations(parts, [0, 0.25]), ["iaead"], TINY, tmp_path, lambda _: None)
    run_all([contaminated(parts, "real", 0.25)], ["iaead_map"], TINY, tmp_path, lambda _: None)
    page = (tmp_path / "contamination.md").read_text()
    assert "## plates, 32 px: 24 pictures, 3 epochs in batches of 16, seed 0" in page
    assert "| none | 0.500 (0.750) | not measured |" in page
    assert "| 25% drawn | 0.500 (0.750) | not measured |" in page
    assert "| 25% real | 0.500 (0.750) | 0.500 (0.750) |" in page
    assert json.loads((tmp_path / "contamination.json").read_text())[0]["settings"] == TINY.settings
