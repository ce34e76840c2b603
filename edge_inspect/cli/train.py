"""`edge-inspect train`: train a system of `workshop/models` on good images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.cli.onnx_needed import TRAINING, refuse_without
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.cli.words import pattern, positive
from edge_inspect.config import Recipe, explained, load_recipe, read_written
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.workshop.models.system import SystemConfig
    from edge_inspect.workshop.training import Trained

NAME = "train"
HELP = "train a system of the papers on good images, for export to an engine (needs torch)"
EXAMPLE = "edge-inspect train --images data/screw --model mdaae_sagan --out trained/screw"

MVTEC_GOOD = Path("train") / "good"
"""Where good images lie in a folder of MVTec AD's layout."""


class List(argparse.Action):
    """Print all systems with paper and defaults, and leave."""

    def __call__(self, parser: argparse.ArgumentParser, *_unused: Any, **_also_unused: Any) -> None:
        """Called by argparse."""
        refuse_without(NAME, TRAINING)
        print("\n".join(_systems()))
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="pictures of good parts, or MVTec AD's layout (train/good)"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="the system; --list names all")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the trained folder; one that was cut off is gone on with")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="recipe.yaml whose region of interest and locator the line will use")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with values of the system's configuration")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one value of it, in YAML; goes before --config")
    parser.add_argument("--seed", type=int, default=0, help="of split and weights; same images, seed and threads give the same weights")
    parser.add_argument(
        "--part-of",
        type=pattern,
        metavar="REGEX",
        help="its group names the physical part in a file name, where a part has several pictures",
    )
    parser.add_argument(
        "--fit-size",
        action="store_true",
        help="shape the network's image like what it is shown (locator, region of interest or frame) instead of squeezing that into "
        "the configured width and height; as many pixels, multiples of 32",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="for one operation on the CPU (default: one per core)")
    parser.add_argument("--fresh", action="store_true", help="start over instead of going on from the checkpoint")
    parser.add_argument("--list", action=List, nargs=0, help="print all systems with their paper and defaults")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Train and report.

    Returns:
        0; everything else is an error.

    Raises:
        ConfigError: the extra is not installed, or images, configuration or options are wrong.
        CameraError: the folder holds no pictures.
        EngineError: training diverged.
    """
    refuse_without(NAME, TRAINING)
    from edge_inspect.workshop.network_size import fitting_size
    from edge_inspect.workshop.training import train

    config = configuration(arguments.model, arguments.config, arguments.set)
    recipe = load_recipe(arguments.recipe) if arguments.recipe else Recipe(part=arguments.out.resolve().name, engine=arguments.out)
    images = list_pictures(good_folder(arguments.images))
    if arguments.fit_size:
        width, height = fitting_size(images, recipe, width=config.width, height=config.height)
        config = config.model_copy(update={"width": width, "height": height})
    with ProgressBars() as bars:
        trained = train(
            images,
            name=arguments.model,
            config=config,
            recipe=recipe,
            out=arguments.out,
            seed=arguments.seed,
            part_of=arguments.part_of,
            progress=bars.show,
            threads=arguments.threads,
            fresh=arguments.fresh,
        )
    print(json.dumps(_summary(trained)) if arguments.json else "\n".join(_lines(trained, arguments.recipe)))
    return 0


def good_folder(images: Path) -> Path:
    """The folder itself, or `train/good` in it."""
    return images / MVTEC_GOOD if (images / MVTEC_GOOD).is_dir() else images


def configuration(name: str, file: Path | None, words: Sequence[str]) -> SystemConfig:
    """The system's configuration: its defaults, then the file, then the words `key=value`, read as strictly as a file.

    Raises:
        ConfigError: no such system, or everything that is wrong in the file, or in the words.
    """
    from edge_inspect.workshop.models.catalogue import CATALOGUE, configure

    schema = type(configure(name, {}))
    in_file = read_written(file, schema).content.model_dump(mode="json", exclude_unset=True) if file else {}
    given = {**CATALOGUE[name].preset, **in_file, **dict(map(_key_and_value, words))}
    try:
        schema.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, fault['loc'])) or name}: {explained(fault)}" for fault in error.errors())
        raise ConfigError(f"--set: {said}; known keys: {', '.join(sorted(schema.model_fields))}") from error
    return configure(name, given)


def _key_and_value(word: str) -> tuple[str, Any]:
    key, found, text = word.partition("=")
    try:
        value = yaml.safe_load(text)
        json.dumps(value)
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"--set {word}: the value is not YAML: {' '.join(str(error).split())}") from error
    if not (key and found and text):
        raise ConfigError(f"--set {word}: expected KEY=VALUE, as in --set epochs=20")
    return key, value


def _systems() -> Iterator[str]:
    from edge_inspect.workshop.models.catalogue import CATALOGUE, configure

    for name, entry in sorted(CATALOGUE.items()):
        yield f"{name}: {entry.source}"
        yield "    " + " ".join(f"{key}={_as_yaml(value)}" for key, value in configure(name, {}).model_dump(mode="json").items())


def _as_yaml(value: Any) -> str:
    return json.dumps(value).replace(" ", "").replace('"', "")


def _lines(trained: Trained, recipe_file: Path | None) -> Iterator[str]:
    record, history = trained.folder.record, trained.history
    for refused in trained.refused:
        yield f"left out     {refused}"
    yield f"model        {record.system}, {record.size.width} x {record.size.height} px, on {record.device}, {record.threads} threads"
    yield f"images       {trained.fitted} learnt from, {record.stop_images} to stop by, {record.held_out_images} held out for the threshold"
    yield f"epochs       {trained.epochs}: {trained.stopped}"
    if history:
        yield f"losses       {', '.join(f'{name} {loss:.4g}' for name, loss in history[-1]['losses'].items())}"
    if trained.best_epoch >= 0:
        yield f"kept         epoch {trained.best_epoch + 1}, stop loss {history[trained.best_epoch]['stop_loss']:.4g}"
    yield f"trained      {trained.folder.path.resolve()} (weights {trained.weights_sha256[:12]})"
    yield f"time         {trained.seconds:.1f} s"
    part = f"--recipe {recipe_file}" if recipe_file else f"--new {trained.folder.path.resolve().name}"
    yield f"next         edge-inspect export --trained {trained.folder.path} {part}"


def _summary(trained: Trained) -> dict[str, Any]:
    record, history = trained.folder.record, trained.history
    kept = history[trained.best_epoch] if history else {}
    return {
        "trained": str(trained.folder.path.resolve()),
        "model": record.system,
        "config": record.config,
        "seed": record.seed,
        "weights_sha256": trained.weights_sha256,
        "learnt_from": trained.fitted,
        "stop_images": record.stop_images,
        "held_out": record.held_out_images,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "stopped": trained.stopped,
        "losses": kept.get("losses", {}),
        "stop_loss": kept.get("stop_loss"),
        "refused": list(trained.refused),
        "device": record.device,
        "threads": record.threads,
        "seconds": round(trained.seconds, 3),
    }
