import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_inspect.config import Recipe, load_recipe
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.workshop import loop
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.rows import Rows, sizes
from edge_inspect.workshop.trained_folder import hash_of, open_trained_folder
from edge_inspect.workshop.training import Trained, train

pytestmark = pytest.mark.torch
Plate = Callable[..., np.ndarray]


def plates(plate: Plate, count: int = 20, **options: object) -> list[tuple[str, np.ndarray]]:
    return [(f"{seed // 2:03}_{seed % 2}.png", plate(seed, **options)) for seed in range(count)]


def whole_frame() -> Recipe:
    return Recipe(part="plate", engine=Path("engine"))


def run(plate: Plate, out: Path, *, seed: int = 0, overrides: dict[str, object] | None = None, **options: object) -> Trained:
    given = {"recipe": whole_frame(), **options}
    return train(plates(plate), name="toy", config=configure("toy", overrides or {}), out=out, seed=seed, **given)


@pytest.fixture(autouse=True)
def _toy(toy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)


def test_a_training_lowers_the_loss_and_leaves_all_that_export_needs(plate: Plate, tmp_path: Path) -> None:
    trained = run(plate, tmp_path / "out", overrides={"epochs": 12, "patience": 12, "learning_rate": 0.01})
    losses = [row["losses"]["error"] for row in trained.history]
    assert losses[-1] < losses[0]
    written = ["config.json", "held_out.npz", "taught_frames.json", "training.json", "weights.pt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == written
    told = json.loads((tmp_path / "out" / "training.json").read_text())
    assert told["stopped"] == "all 12 epochs done"
    assert len(told["epochs"]) == 12
    record = open_trained_folder(tmp_path / "out").record
    assert (record.system, record.seed, record.config["epochs"], record.config["smoothing_cells"]) == ("toy", 0, 12, 0.5)
    assert (record.training.images, record.stop_images, record.held_out_images) == (13, 1, 6)
    assert record.torch == torch.__version__
    assert record.threads == torch.get_num_threads()


def test_no_image_is_on_two_sides_and_the_held_out_are_kept_as_warped(plate: Plate, tmp_path: Path) -> None:
    run(plate, tmp_path / "out", part_of=re.compile(r"(\d+)_"))
    told = json.loads((tmp_path / "out" / "training.json").read_text())
    sides = [{name[:3] for name in told[side]} for side in ("trained_on", "stopped_on", "held_out")]
    assert [len(side) for side in sides] == [6, 1, 3]
    assert len(set.union(*sides)) == 10
    kept = open_trained_folder(tmp_path / "out")
    assert list(kept.good.names) == told["held_out"]
    assert [len(part) for part in kept.parts] == [2, 2, 2]
    assert all(len({kept.good.names[index][:3] for index in part}) == 1 for part in kept.parts)
    assert kept.good.pixels.shape == (6, 32, 32, 1)
    assert kept.good.frame_width == 80
    assert kept.good.placements[3].affine[0, 0] == 80 / 32


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(plate: Plate, tmp_path: Path) -> None:
    one, again, another = (run(plate, tmp_path / str(i), seed=seed).weights_sha256 for i, seed in enumerate((0, 0, 1)))
    assert one == again
    assert one != another


def test_training_leaves_torch_as_it_found_it(plate: Plate, tmp_path: Path) -> None:
    torch.manual_seed(5)
    threads, drawn = torch.get_num_threads(), torch.get_rng_state()
    run(plate, tmp_path / "out", threads=1)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_resumed_training_ends_at_the_same_weights(plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninterrupted = run(plate, tmp_path / "whole", overrides={"epochs": 5, "patience": 5})
    with monkeypatch.context() as killed:
        stop_before(3, killed)
        with pytest.raises(KeyboardInterrupt):
            run(plate, tmp_path / "cut", overrides={"epochs": 5, "patience": 5})
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    from_epoch = begun_at(monkeypatch)
    resumed = run(plate, tmp_path / "cut", overrides={"epochs": 5, "patience": 5})
    assert from_epoch[0] == 3
    assert resumed.weights_sha256 == uninterrupted.weights_sha256
    assert [row["losses"] for row in resumed.history] == [row["losses"] for row in uninterrupted.history]


def stop_before(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.Loop._epoch

    def counted(self: loop.Loop, progress: loop.Progress) -> None:
        if self.standing.epoch == epoch:
            raise KeyboardInterrupt
        real(self, progress)

    monkeypatch.setattr(loop.Loop, "_epoch", counted)


def begun_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    real, epochs = loop.Loop._epoch, []

    def noted(self: loop.Loop, progress: loop.Progress) -> None:
        epochs.append(self.standing.epoch)
        real(self, progress)

    monkeypatch.setattr(loop.Loop, "_epoch", noted)
    return epochs


PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = [{here!r}]
import conftest, toy_system
from edge_inspect.config import Recipe
from edge_inspect.workshop import loop
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.training import train
toy_system.register()
loop.CHECKPOINT_EVERY_S = 0.0
images = [(f"{{seed // 2:03}}_{{seed % 2}}.png", conftest.plate_picture(seed)) for seed in range(20)]
def told(doing, done, total, note="", /):
    print(doing, done, flush=True)
    time.sleep(0.02)
config = configure("toy", {{"epochs": 40, "patience": 40}})
train(images, name="toy", config=config, recipe=Recipe(part="plate", engine=Path("e")), out=Path({out!r}), threads=1, progress=told)
"""


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = tmp_path / "cut"
    program = PROGRAM.format(here=str(Path(__file__).parent), out=str(cut))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (cut / "checkpoint.pt").exists():
            assert process.stdout is not None
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert (cut / "checkpoint.pt").exists()
    assert not (cut / "config.json").exists()
    from_epoch = begun_at(monkeypatch)
    resumed = forty_epochs(plate, cut)
    assert 0 < from_epoch[0] < 40
    whole = forty_epochs(plate, tmp_path / "whole")
    assert resumed.weights_sha256 == whole.weights_sha256
    assert [row["losses"] for row in resumed.history] == [row["losses"] for row in whole.history]


def forty_epochs(plate: Plate, out: Path) -> Trained:
    return run(plate, out, overrides={"epochs": 40, "patience": 40}, threads=1)


def interrupted(plate: Plate, out: Path, **options: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(plate, out, overrides={"fail_at": 1}, **options)


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"seed": 1}, "seed 0, now it is 1"), ({"overrides": {"learning_rate": 0.5}}, "configuration"), ({"threads": 7}, "threads")],
)
def test_a_checkpoint_of_another_training_is_refused_and_fresh_starts_over(
    changed: dict[str, object], what: str, plate: Plate, tmp_path: Path
) -> None:
    interrupted(plate, tmp_path / "out", threads=1)
    options = {"threads": 1, "overrides": {"fail_at": 1}, **changed}
    with pytest.raises(ConfigError, match=rf"begun here with {what}.*--fresh"):
        run(plate, tmp_path / "out", **options)
    options["overrides"] = {**options["overrides"], "fail_at": -1}
    assert run(plate, tmp_path / "out", fresh=True, **options).epochs == 3


def test_a_checkpoint_of_other_images_is_refused(plate: Plate, tmp_path: Path) -> None:
    interrupted(plate, tmp_path / "out")
    with pytest.raises(ConfigError, match="training images"):
        train(plates(plate, 30), name="toy", config=configure("toy", {"fail_at": 1}), recipe=whole_frame(), out=tmp_path / "out", seed=0)


def test_a_damaged_checkpoint_is_one_sentence(plate: Plate, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(ConfigError, match=r"not a checkpoint of this version.*--fresh"):
        run(plate, tmp_path / "out")


def test_training_stops_when_the_stop_loss_falls_no_more_and_keeps_the_best_weights(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_class: type
) -> None:
    said = iter([3.0, 2.0, 2.5, 2.5, 9.0, 9.0])
    states: list[str] = []

    def stop_loss(self: torch.nn.Module, rows: object) -> float:
        states.append(hash_of({name: value for name, value in self.state_dict().items() if name != "usual"}))
        return next(said)

    monkeypatch.setattr(toy_class, "stop_loss", stop_loss)
    trained = run(plate, tmp_path / "out", overrides={"epochs": 50, "patience": 2})
    assert (trained.epochs, trained.best_epoch, trained.stopped) == (4, 1, "no better stop loss for 2 epochs")
    kept = open_trained_folder(tmp_path / "out").load_system().state_dict()
    assert hash_of({name: value for name, value in kept.items() if name != "usual"}) == states[1]


def test_without_patience_every_image_is_learnt_from_and_the_last_weights_are_kept(plate: Plate, tmp_path: Path) -> None:
    trained = run(plate, tmp_path / "out", overrides={"patience": 0})
    assert (trained.fitted, trained.epochs, trained.best_epoch) == (14, 3, -1)
    assert "stop_loss" not in trained.history[0]


def test_a_system_without_epochs_is_only_fitted(plate: Plate, tmp_path: Path) -> None:
    trained = run(plate, tmp_path / "out", overrides={"epochs": 0})
    assert (trained.fitted, trained.epochs) == (14, 0)
    assert trained.stopped == "nothing to train: only fitted"
    usual = open_trained_folder(tmp_path / "out").load_system().usual
    assert float(usual.max()) != 1.0


def test_constants_are_settled_on_the_training_rows_in_eval_mode(plate: Plate, tmp_path: Path) -> None:
    run(plate, tmp_path / "out", overrides={"patience": 0})
    folder = open_trained_folder(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "training.json").read_text())
    system = folder.load_system()
    assert not system.training
    from edge_inspect.workshop.good_images import place_good_images

    every = place_good_images(plates(plate), whole_frame(), width=32, height=32)
    chosen = [index for index, name in enumerate(every.names) if name in told["trained_on"]]
    with torch.no_grad():
        rows = system.prepare(torch.from_numpy(every.pixels[chosen]), np.random.default_rng(0))
        usual = system.error(rows[0]).mean(dim=0, keepdim=True)
    torch.testing.assert_close(system.usual, usual)


def test_a_loss_that_is_no_number_names_the_epoch_and_what_to_do(plate: Plate, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"error is nan in epoch 2: training has diverged; lower learning_rate, which is 0.001"):
        run(plate, tmp_path / "out", overrides={"nan_at": 1})
    assert not (tmp_path / "out" / "config.json").exists()


def test_unreadable_images_are_named_and_too_few_are_refused(good_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    images = [*sorted(good_folder.iterdir()), broken]
    options = {"name": "toy", "config": configure("toy", {}), "recipe": whole_frame(), "out": tmp_path / "out"}
    assert "broken.png: is empty" in train(images, **options).refused[0]
    with pytest.raises(ConfigError, match=r"9 usable good images, 10 or more are needed .*broken.png: is empty"):
        train(images[-10:], **options)


def test_a_folder_that_cannot_be_written_is_one_sentence(plate: Plate, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match="cannot be written"):
        run(plate, tmp_path / "out")


def test_the_region_of_interest_decides_what_is_learnt(plate: Plate, tmp_path: Path, recipe_file: Path) -> None:
    recipe_file.write_text(recipe_file.read_text() + "region_of_interest: {left: 8, top: 8, width: 32, height: 32}\n")
    run(plate, tmp_path / "out", recipe=load_recipe(recipe_file))
    kept = open_trained_folder(tmp_path / "out")
    seed = int(kept.good.names[0][:3]) * 2 + int(kept.good.names[0][4])
    np.testing.assert_array_equal(kept.good.pixels[0], plate(seed)[8:40, 8:40])
    assert kept.record.view["region_of_interest"]["left"] == 8


def test_progress_tells_the_losses(plate: Plate, tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    run(plate, tmp_path / "out", progress=lambda *said: told.append(said))
    assert [said[0] for said in told if said[1] == said[2]] == ["reading", "preparing", "training"]
    assert re.fullmatch(r"epoch 3, error [\d.e-]+, stop loss [\d.e-]+ in epoch \d", str(told[-1][3]))


@pytest.mark.parametrize("name", ["weights.pt", "held_out.npz"])
def test_a_file_that_was_changed_afterwards_is_refused(name: str, plate: Plate, tmp_path: Path) -> None:
    run(plate, tmp_path / "out")
    (tmp_path / "out" / name).write_bytes(b"something else")
    with pytest.raises(EngineError, match="is not the file that was made"):
        open_trained_folder(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        open_trained_folder(tmp_path / "out")


def test_a_folder_that_no_training_finished_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="that `edge-inspect train` has finished"):
        open_trained_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="not of this version"):
        open_trained_folder(tmp_path)


@pytest.mark.parametrize(("rows", "batch", "wanted"), [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 1, [1, 1, 1]), (1, 4, [1])])
def test_a_single_row_left_over_joins_the_last_batch(rows: int, batch: int, wanted: list[int]) -> None:
    assert sizes(rows, batch) == wanted


def test_shuffled_rows_are_all_rows_once_and_stay_together() -> None:
    prepared = (torch.arange(9), torch.arange(9) * 10)
    rows = Rows(prepared, batch=4, device=torch.device("cpu"))
    torch.manual_seed(0)
    batches = list(rows.shuffled())
    assert sorted(torch.cat([batch[0] for batch in batches]).tolist()) == list(range(9))
    assert torch.cat([batch[0] for batch in batches]).tolist() != list(range(9))
    assert all(torch.equal(batch[0] * 10, batch[1]) for batch in batches)
    assert torch.equal(torch.cat([batch[0] for batch in rows.in_order()]), torch.arange(9))


def test_a_system_whose_rows_do_not_belong_together_is_refused(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_class: type
) -> None:
    monkeypatch.setattr(toy_class, "prepare", lambda self, frames, random: (torch.zeros(4), torch.zeros(5)))
    with pytest.raises(EngineError, match="must belong together"):
        run(plate, tmp_path / "out")
    monkeypatch.setattr(toy_class, "prepare", lambda self, frames, random: (torch.full((4,), torch.nan),))
    with pytest.raises(EngineError, match="not finite"):
        run(plate, tmp_path / "out")


def test_no_threads_are_refused(plate: Plate, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threads 0"):
        run(plate, tmp_path / "out", threads=0)
