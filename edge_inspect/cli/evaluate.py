"""`edge-inspect evaluate`: judge a recipe's engine on labelled pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_inspect.cli.words import pattern

NAME = "evaluate"
HELP = "judge an engine on labelled pictures: accuracy, kept promises, robustness, time; JSON and one HTML report"
EXAMPLE = "edge-inspect evaluate --recipe calibration/cell/recipe.yaml --data datasets --category cell --report cell.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="the part's recipe.yaml; names engine and thresholds")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of test sets in MVTec AD layout")
    parser.add_argument("--category", required=True, metavar="NAME", help="the set: DIR/NAME/test/good and DIR/NAME/test/<defect>")
    parser.add_argument("--runtime", help="runtime to open the engine with (default: the one a station takes)")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="which of the engine's files (default %(default)s)"
    )
    parser.add_argument("--robustness", action="store_true", help="also judge noisy, dark, bright, blurred, packed and moved pictures")
    parser.add_argument(
        "--part-of",
        type=pattern,
        metavar="REGEX",
        help="its group names the physical part in a file name, where a part has several pictures",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap and the disturbances (default %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write one HTML page, nothing outside it is loaded")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Judge, print, and write the report.

    Returns:
        0; everything else is an error.

    Raises:
        ConfigError: the extra is not installed, or recipe, data or options are wrong.
        PluginError: the runtime is not installed.
        EngineError: the engine is not accepted, or failed on a picture.
        OutputError: the report cannot be written.
    """
    from edge_inspect.cli.onnx_needed import EVALUATION, refuse_without

    refuse_without("evaluate", EVALUATION)
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.config import DEFAULT_RUNTIME, PluginBlock
    from edge_inspect.field.device import device_facts
    from edge_inspect.workshop.evaluation.evaluate import evaluate
    from edge_inspect.workshop.evaluation.labelled import labelled_set
    from edge_inspect.workshop.evaluation.report import write_report
    from edge_inspect.workshop.evaluation.summary import lines, summary

    labelled = labelled_set(arguments.data, arguments.category)
    with ProgressBars() as bars:
        evaluation = evaluate(
            arguments.recipe,
            labelled,
            runtime=PluginBlock.model_validate({"kind": arguments.runtime or DEFAULT_RUNTIME, "precision": arguments.precision}),
            robustness=arguments.robustness,
            part_of=arguments.part_of,
            seed=arguments.seed,
            progress=bars.show,
        )
    device = device_facts()
    machine = f"{device['cpu'] or device['machine']}, {device['usable_cores']} of {device['cores']} cores"
    if arguments.report is not None:
        write_report(evaluation, arguments.report, machine=machine)
    if arguments.json:
        print(json.dumps({**summary(evaluation), "device": device}, allow_nan=False))
    else:
        print("\n".join(lines(evaluation, machine)))
    return 0
