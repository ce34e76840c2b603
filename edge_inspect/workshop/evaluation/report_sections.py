"""The lower part of the page: verdicts, scores, curves, robustness and the worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from edge_inspect.outputs.heat import HIGHEST, LOWEST
from edge_inspect.workshop.evaluation.disturbances import DISTURBANCES
from edge_inspect.workshop.evaluation.evaluate import Evaluation
from edge_inspect.workshop.evaluation.gallery import OUTLINE_COLOUR, Exhibit, highest_good, lowest_defective, scale_picture
from edge_inspect.workshop.evaluation.judging import Judged
from edge_inspect.workshop.evaluation.plots import DEFECTIVE, GOOD, INK, disturbance_svg, histogram_svg, precision_recall_svg, roc_svg
from edge_inspect.workshop.evaluation.summary import counts, figure


def capital(sentence: str) -> str:
    """The sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


def verdicts_section(evaluation: Evaluation) -> str:
    """What the station says of each kind."""
    outcomes, count = evaluation.outcomes, counts(evaluation)
    rows = [_row("good", count["good"], None, count["false_rejects"], count["good"] - count["false_rejects"], wrong_rejects=True)]
    for kind, defect in evaluation.per_defect.items():
        rejected = int(outcomes.rejected[outcomes.kinds == kind].sum())
        rows.append(_row(kind, defect.images, defect.auroc, rejected, defect.images - rejected, wrong_rejects=False))
    head = "<tr><th>kind</th><th>parts</th><th>AUROC against good</th><th>rejected</th><th>passed</th><th>share rejected</th></tr>"
    return (
        "<h2>Verdicts by kind</h2><p class='soft'>What the station says at its own threshold; red is wrong.</p>"
        f'<div class="panel"><table>{head}{"".join(rows)}</table></div>'
    )


def _row(kind: str, parts: int, auroc: float | None, rejected: int, passed: int, *, wrong_rejects: bool) -> str:
    cells = (
        f"<td>{escape(kind)}</td><td>{parts}</td><td>{'' if auroc is None else figure(auroc)}</td>",
        _counted(rejected, wrong=wrong_rejects),
        _counted(passed, wrong=not wrong_rejects),
        f"<td>{rejected / parts:.1%}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _counted(number: int, *, wrong: bool) -> str:
    return f'<td class="wrong">{number}</td>' if wrong and number else f"<td>{number}</td>"


def scores_section(evaluation: Evaluation) -> str:
    """What a score means, and who has which."""
    meaning = f"<h2>Scores</h2><p class='soft'>{escape(capital(evaluation.manifest.score_meaning))}.</p>"
    if not evaluation.outcomes.scored.kinds.size:
        return meaning
    plot = histogram_svg(evaluation.outcomes, evaluation.thresholds.image_threshold)
    return f'{meaning}<figure class="panel">{plot}</figure>'


def curves_section(evaluation: Evaluation) -> Iterator[str]:
    """ROC, and precision and recall; nothing without scores on both sides."""
    if evaluation.image.auroc is None:
        return
    roc, precision_recall = roc_svg(evaluation.outcomes, evaluation.image), precision_recall_svg(evaluation.outcomes, evaluation.image)
    yield "<h2>Every other threshold</h2><p class='soft'>What would be found at which price. The dot is where the station stands.</p>"
    yield (
        f'<div class="pair"><figure class="panel"><figcaption>ROC</figcaption>{roc}</figure>'
        f'<figure class="panel"><figcaption>Precision and recall</figcaption>{precision_recall}</figure></div>'
    )


def robustness_section(evaluation: Evaluation) -> Iterator[str]:
    """Curves and numbers under disturbances; nothing where they were not asked for."""
    if not evaluation.robustness:
        return
    keys = ((INK, "AUROC"), (DEFECTIVE, "recall at the unchanged threshold"), (GOOD, "false alarms at the unchanged threshold"))
    yield "<h2>Robustness</h2><p class='soft'>The same pictures, disturbed; engine and threshold as they are.</p>"
    yield '<div class="legend">' + "".join(f'<span><i style="background:{colour}"></i>{name}</span>' for colour, name in keys) + "</div>"
    yield '<div class="four">' + "".join(_disturbance_figures(evaluation)) + "</div>"
    yield _robustness_table(evaluation)


def _disturbance_figures(evaluation: Evaluation) -> Iterator[str]:
    for disturbance in DISTURBANCES:
        curve = [point for point in evaluation.robustness if point.disturbance == disturbance.name]
        yield f'<figure class="panel"><figcaption>{disturbance.title}</figcaption>{disturbance_svg(disturbance, curve)}</figure>'


def _robustness_table(evaluation: Evaluation) -> str:
    titles = {disturbance.name: f"{disturbance.title}, {disturbance.unit}" for disturbance in DISTURBANCES}
    rows = "".join(
        f"<tr><td>{titles[point.disturbance]}</td><td>{'as it came' if point.undisturbed else f'{point.strength:g}'}</td>"
        f"<td>{figure(point.auroc)}</td><td>{point.false_reject_rate:.1%}</td><td>{point.recall:.1%}</td></tr>"
        for point in evaluation.robustness
    )
    head = "<tr><th>disturbance</th><th>strength</th><th>AUROC</th><th>false alarms</th><th>recall</th></tr>"
    return f'<details><summary>The numbers</summary><div class="panel"><table>{head}{rows}</table></div></details>'


def gallery_section(evaluation: Evaluation) -> Iterator[str]:
    """The worst of both sides. A picture that cannot be read any more is a `CameraError`."""
    threshold, count = evaluation.thresholds.pixel_threshold, counts(evaluation)
    yield "<h2>The worst mistakes</h2>"
    yield (
        f'<div class="legend"><span>{LOWEST:g} x</span><img alt="heat scale" src="{scale_picture()}">'
        f"<span>{HIGHEST:g} x the pixel threshold, the same scale in every picture</span>"
        f'<span><i style="background:{OUTLINE_COLOUR}"></i>where a person drew the defect</span></div>'
    )
    false_rejects = f"{count['false_rejects']} of {count['good']} are rejected"
    yield _cards(f"Good parts with the highest scores: {false_rejects}", highest_good(evaluation.judged, threshold))
    passing = f"{count['missed']} of {count['defective']} pass"
    yield _cards(f"Defective parts with the lowest scores: {passing}", lowest_defective(evaluation.judged, threshold))


def _cards(title: str, exhibits: Sequence[Exhibit]) -> str:
    return f'<h3>{title}</h3><div class="cards">{"".join(_card(exhibit) for exhibit in exhibits)}</div>'


def _card(exhibit: Exhibit) -> str:
    one, name = exhibit.judged, escape(exhibit.judged.image.name)
    return (
        f'<div class="card"><div class="pictures"><img alt="{name}" src="{exhibit.plain}">'
        f'<img alt="heat map of {name}" src="{exhibit.heat}"></div>'
        f'<div class="line"><b>{name}</b>{_badge(one)}</div><small>score {one.score:.4g}</small></div>'
    )


def _badge(judged: Judged) -> str:
    """What became of the part, and whether that is right."""
    if judged.image.good:
        said, right = ("false reject", False) if judged.rejected else ("passed", True)
    else:
        said, right = ("rejected", True) if judged.rejected else ("missed", False)
    return f'<span class="badge {"right" if right else "mistake"}">{said}</span>'
