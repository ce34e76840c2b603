"""Run `contamination` over Fashion-MNIST and real parts, and write docs/results/contamination.json and contamination.md.

The file is replaced after every run, and a run that stands in it is not repeated: what was stopped is gone on with.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_inspect import __version__
from edge_inspect.durable import replace_file
from edge_inspect.workshop.contaminated_sets import ContaminatedSet
from edge_inspect.workshop.contamination import Budget, measure
from edge_inspect.workshop.fashion_mnist import CLASSES

RESULTS = "contamination.json"
PAGE = "contamination.md"

Run = dict[str, Any]
KEY = ("set", "contaminant", "share", "method", "images", "side_px", "epochs", "batch", "seed", "settings")
"""What makes a run another one."""
BUDGET = ("images", "epochs", "batch", "seed", "settings")
"""What makes a table another one."""

PRINTED: Mapping[str, Sequence[float]] = {
    "cae": (62.67, 94.81, 58.08, 73.56, 62.40, 73.87, 47.75, 85.41, 44.74, 71.01),
    "deep_svdd": (78.03, 92.53, 75.89, 84.70, 79.76, 73.99, 71.48, 90.98, 68.51, 82.04),
    "iaead": (89.67, 97.53, 86.34, 93.00, 90.75, 75.37, 82.51, 97.39, 79.07, 95.30),
}
"""AUROC [%] at 10 %, in the order of `CLASSES`, mean of five runs. Source: Cheng et al. 2021, table 3."""


def run_all(sets: Iterable[ContaminatedSet], methods: Sequence[str], budget: Budget, out: Path, told: Callable[[str], None]) -> None:
    """Measure what the results do not hold yet.

    Args:
        sets: what to train on, made as they are needed.
        methods: names in `contamination.METHODS`.
        budget: the same for all.
        out: folder of the results.
        told: one line for every run.
    """
    runs = recorded(out)
    for one in sets:
        for method in methods:
            asked = _asked(one, method, budget)
            if any(all(run[key] == asked[key] for key in KEY) for run in runs):
                told(f"{_named(asked)}: stands in {out / RESULTS}")
                continue
            runs.append({**asked, **measure(one, method, budget), **_made_with(budget)})
            record(out, runs)
            told(f"{_named(asked)}: {runs[-1]['auroc']} of what was trained on, {runs[-1]['auroc_unseen']} unseen")


def recorded(out: Path) -> list[Run]:
    """The runs that stand in the results; none where there is no file."""
    path = out / RESULTS
    runs: list[Run] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return runs


def record(out: Path, runs: Sequence[Run]) -> None:
    """Write the results and their page."""
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(run) for run in runs)
    replace_file(out / RESULTS, f"[\n{lines}\n]\n".encode())
    replace_file(out / PAGE, ("\n".join(_page(runs)) + "\n").encode())


def _asked(one: ContaminatedSet, method: str, budget: Budget) -> Run:
    return {
        "set": one.name,
        "contaminant": one.contaminant,
        "share": one.share,
        "method": method,
        "images": len(one.train),
        "side_px": one.train.shape[1],
        "epochs": budget.epochs,
        "batch": budget.batch,
        "seed": budget.seed,
        "settings": dict(budget.settings),
    }


def _made_with(budget: Budget) -> Run:
    return {
        "threads": budget.threads,
        "machine": platform.machine(),
        "torch": str(torch.__version__),
        "software": f"edge-inspect {__version__}",
    }


def _named(run: Run) -> str:
    return f"{run['set']} with {run['share']:.0%} {run['contaminant']}, {run['method']}"


def _page(runs: Sequence[Run]) -> Iterator[str]:
    yield from _introduction()
    for alike in _grouped([run for run in runs if run["contaminant"] == "classes"], (*BUDGET, "share")):
        yield from _classes(alike)
    for alike in _grouped([run for run in runs if run["contaminant"] != "classes"], ("set", "side_px", *BUDGET)):
        yield from _parts(alike)


def _introduction() -> Iterator[str]:
    yield "# Training on contaminated sets"
    yield ""
    yield 'Written by `tools/measure-contamination`. Some of the "good" pictures that are trained on are bad, and nothing says which.'
    yield "**Trained on**: AUROC of these pictures themselves, as Cheng et al. 2021 measure. **Unseen**: of pictures that were not"
    yield "trained on, as a line sees them. `iaead`, `cae` and `deep_svdd` are one network with different losses and scores,"
    yield "`iaead_map` the same by cells; settings are the paper's (`edge_inspect/workshop/models/iaead_config.py`) but for the"
    yield "budget named above each table, which was chosen by the time it takes and not by any figure. Warm-up and halving of the"
    yield "learning rate keep their share of the epochs. One run each; the seed fixes pictures, weights and order."


def _classes(runs: Sequence[Run]) -> Iterator[str]:
    """Fashion-MNIST at one budget: a class a row, the methods beside their printed figures."""
    first = runs[0]
    methods = [method for method in PRINTED if any(run["method"] == method for run in runs)]
    yield ""
    yield f"## Fashion-MNIST, one class against the rest, {first['share']:.0%} bad: {_budget(runs)}"
    yield ""
    yield "`tools/measure-contamination fashion-mnist " + _options(first, f"--shares {first['share']} --images {_images(runs)}") + "`"
    yield ""
    yield "Pool of the data set's training and test part, pictures with a black rim of two (28 x 28 to 32 x 32), in -1 to 1. The paper:"
    yield "250 epochs of all 7,777 pictures in batches of 256 (7,500 steps), mean of five runs. Percent."
    yield ""
    yield f"| class | {' | '.join(f'{method} | paper' for method in methods)} | {' | '.join(f'{method} unseen' for method in methods)} |"
    yield f"|---|{'---|' * (3 * len(methods))}"
    cells = {(run["set"], run["method"]): run for run in runs}
    rows = [[_cell(cells, name, method, PRINTED[method][index]) for method in methods] for index, name in enumerate(CLASSES)]
    for name, row in zip(CLASSES, rows, strict=True):
        yield _line(name, row)
    yield _line("**mean**", [_mean([row[column] for row in rows]) for column in range(len(methods))])
    yield ""
    yield from _other_scores(runs, methods)


def _other_scores(runs: Sequence[Run], methods: Sequence[str]) -> Iterator[str]:
    measured = [{run["set"] for run in runs if run["method"] == method} for method in methods]
    common = set.intersection(*measured)
    if not common:
        return
    yield f"Mean over the {len(common)} classes that all were measured on, by either score of the same networks, trained on / unseen:"
    yield ""
    yield "| trained as | distance of the embedding (9) | reconstruction error (3) | steps | CPU s a run |"
    yield "|---|---|---|---|---|"
    for method in methods:
        mine = [run for run in runs if run["method"] == method and run["set"] in common]
        means = [np.mean([run["by_score"][kind] for run in mine], axis=0) * 100 for kind in ("global", "reconstruction")]
        shown = " | ".join(f"{mean[0]:.2f} / {mean[1]:.2f}" for mean in means)
        yield f"| {method} | {shown} | {mine[0]['steps']} | {np.mean([run['cpu_seconds'] for run in mine]):.0f} |"


def _parts(runs: Sequence[Run]) -> Iterator[str]:
    """One data set at one budget: a share a row."""
    first = runs[0]
    methods = list(dict.fromkeys(run["method"] for run in runs))
    yield ""
    yield f"## {first['set']}, {first['side_px']} px: {_budget(runs)}"
    yield ""
    yield (
        f"`tools/measure-contamination parts FOLDER/{first['set']} "
        + _options(first, f"--side {first['side_px']} --images {first['images']} --methods {' '.join(methods)}")
        + "`"
    )
    yield ""
    yield "AUROC of the test part, of which half the defective pictures were taken out beforehand, at every share the same ones; in"
    yield "brackets that of the training pictures themselves. **drawn**: in the good picture's place the same with a drawn defect"
    yield "(`synthetic.plant_defect`); **real**: a defective picture of those taken out."
    yield ""
    yield f"| bad | {' | '.join(methods)} |"
    yield f"|---|{'---|' * len(methods)}"
    for alike in _grouped(runs, ("share", "contaminant")):
        share, contaminant = alike[0]["share"], alike[0]["contaminant"]
        found = {run["method"]: run for run in alike}
        cells = [_of_parts(found[method]) if method in found else "not measured" for method in methods]
        yield f"| {f'{share:.0%} {contaminant}' if share else 'none'} | {' | '.join(cells)} |"


def _of_parts(run: Run) -> str:
    known = "" if run["auroc"] is None else f" ({run['auroc']:.3f})"
    return f"{run['auroc_unseen']:.3f}{known}"


def _cell(cells: Mapping[tuple[str, str], Run], name: str, method: str, printed: float) -> tuple[float | None, float, float | None]:
    run = cells.get((name, method))
    return (None, printed, None) if run is None else (_percent(run["auroc"]), printed, _percent(run["auroc_unseen"]))


def _mean(column: Sequence[tuple[float | None, float, float | None]]) -> tuple[float | None, float, float | None]:
    """None where a class is missing: over fewer it would compare with no other mean."""
    here, printed, unseen = zip(*column, strict=True)
    means = [None if None in values else float(np.mean(values)) for values in (here, unseen)]
    return means[0], float(np.mean(printed)), means[1]


def _line(name: str, row: Sequence[tuple[float | None, float, float | None]]) -> str:
    first = " | ".join(f"{_shown(here)} | {printed:.2f}" for here, printed, _ in row)
    return f"| {name} | {first} | {' | '.join(_shown(unseen) for _, _, unseen in row)} |"


def _shown(percent: float | None) -> str:
    return "not measured" if percent is None else f"{percent:.2f}"


def _percent(figure: float | None) -> float | None:
    return None if figure is None else 100 * figure


def _budget(runs: Sequence[Run]) -> str:
    first = runs[0]
    return f"{_images(runs) or 'all'} pictures, {first['epochs']} epochs in batches of {first['batch']}, seed {first['seed']}"


def _images(runs: Sequence[Run]) -> int:
    return int(runs[0]["images"])


def _options(run: Run, own: str) -> str:
    settings = "".join(f" --set {name}={json.dumps(value)}" for name, value in run["settings"].items())
    threads = f" --threads {run['threads']}" if run["threads"] else ""
    return f"{own} --epochs {run['epochs']} --batch {run['batch']} --seed {run['seed']}{threads}{settings}"


def _grouped(runs: Sequence[Run], keys: Sequence[str]) -> Iterator[list[Run]]:
    def kind(run: Run) -> str:
        return json.dumps([run[key] for key in keys])

    for value in dict.fromkeys(map(kind, runs)):
        yield [run for run in runs if kind(run) == value]
