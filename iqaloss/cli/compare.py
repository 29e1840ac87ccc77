"""``iqaloss compare``: folders of results against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.evaluation.comparing import Comparison

PICTURES, SIDE = 6, 512
"""Pictures of a report, and the largest side of the middles that are shown."""


def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="A B [C...]", help="Folders of results; A is what others are held against.")
    ],
    reference: Annotated[Path | None, typer.Option(help="Folder of the true pictures, for PSNR and the panel.")] = None,
    panel: Annotated[
        Path | None, typer.Option(help="Folder of the panel's weights: measures LPIPS, DISTS and a ViT distance too.")
    ] = None,
    scorer: Annotated[str, typer.Option(help=options.SCORER_HELP)] = "mdiqa-mobile",
    weights: options.Weights = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.html and comparison.json.")] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Resamples for the 95 % intervals.")] = 1000,
    seed: options.Seed = 0,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare folders of results, picture by picture, with intervals by the paired bootstrap.

    Pictures are matched by name. A difference is clear where its interval leaves out zero; it is positive where the
    method is better than A.

    Example: iqaloss compare l1 mdiqa --reference truth --out compared
    """
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss._progress import Stages
    from iqaloss.cli.display import load_scorer
    from iqaloss.evaluation.comparing import compare as measure
    from iqaloss.evaluation.comparing import match
    from iqaloss.evaluation.panel import load_panel

    if panel is not None and reference is None:
        raise ValueError("--panel measures how far results are from the truth: give --reference too")
    matched = match(named(folders), reference)
    if matched.left_out:
        typer.echo(f"{len(matched.left_out)} pictures are not in all folders and are left out", err=True)
    place = check_device(Ranks.from_environment().device(device))
    judges = None
    if reference is not None:
        judges = load_panel(["psnr_y"] if panel is None else None, panel, place)
        for judge, why in judges.missing.items():
            typer.echo(f"not measured: {judge} ({why})", err=True)
    model = load_scorer(scorer, weights).to(place)
    with Stages() as report:
        found = measure(matched, model, judges, report)
    told = as_data(found, bootstrap, seed)
    if out is not None:
        _save(found, told, out, {"scorer": scorer, "weights": weights, "bootstrap": bootstrap, "seed": seed})
    typer.echo(json.dumps(told, indent=1) if as_json else text(told))


def named(folders: list[Path]) -> dict[str, Path]:
    """Returns folders under the shortest names that tell them apart.

    Example:
        >>> list(named([Path("runs/a/val"), Path("runs/b/val")]))
        ['a/val', 'b/val']
    """
    for depth in range(1, max(len(each.absolute().parts) for each in folders) + 1):
        names = ["/".join(each.absolute().parts[-depth:]) for each in folders]
        if len(set(names)) == len(names):
            return dict(zip(names, folders))
    raise ValueError("a folder was given twice")


def as_data(found: Comparison, repeats: int, seed: int) -> dict[str, Any]:
    """Returns the comparison as plain values."""
    differences = {
        method: {
            measure: {"mean": one.mean, "low": one.interval[0], "high": one.interval[1], "wins": one.wins}
            for measure, one in rows.items()
        }
        for method, rows in found.differences(repeats, seed).items()
    }
    return {
        "pictures": len(found.matched.names),
        "lower_is_better": sorted(found.lower_is_better),
        "means": found.means(),
        "against": found.methods[0],
        "differences": differences,
    }


def rows_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row for each measure: means, and differences with their intervals."""
    from iqaloss.evaluation.panel.judges import JUDGES

    titles = {name: judge.title for name, judge in JUDGES.items()}
    rows = []
    for measure in next(iter(told["means"].values())):
        lower = " (lower is better)" if measure in told["lower_is_better"] else ""
        row: dict[str, Any] = {"measure": f"{titles.get(measure, measure)}{lower}"}
        row |= {method: f"{values[measure]:.4f}" for method, values in told["means"].items()}
        for method, differences in told["differences"].items():
            one = differences[measure]
            clear = "" if one["low"] <= 0 <= one["high"] else " *"
            row[f"{method} better by"] = f"{one['mean']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]{clear}"
            row[f"{method} wins"] = f"{100 * one['wins']:.0f} %"
        rows.append(row)
    return rows


def text(told: dict[str, Any]) -> str:
    """Returns the table for a terminal."""
    rows = rows_of(told)
    head = list(rows[0])
    lines = [head, *(list(row.values()) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    note = f"{told['pictures']} pictures; against {told['against']}, 95 % intervals, * leaves out zero"
    return "\n".join([shown[0], "  ".join("-" * width for width in widths), *shown[1:], "", note])


def _save(found: Comparison, told: dict[str, Any], out: Path, settings: dict[str, Any]) -> None:
    from iqaloss._files import write_text
    from iqaloss.report.provenance import scorer_digest, versions

    digest = scorer_digest(settings["scorer"], settings["weights"])
    facts = {**settings, "sha256 of the scorer": digest, "folders": [str(each[0].parent) for each in _paths(found)]}
    write_text(
        out / "comparison.json", json.dumps({**told, "settings": facts, "versions": versions()}, indent=1) + "\n"
    )
    typer.echo(f"report: {_write(found, told, out, facts)}", err=True)


def _paths(found: Comparison) -> list[tuple[Path, ...]]:
    return list(found.matched.paths.values())


def _write(found: Comparison, told: dict[str, Any], out: Path, facts: dict[str, Any]) -> Path:
    from iqaloss.report.blocks import Block, Facts, Pictures, Table, Text
    from iqaloss.report.charts import bars, radar
    from iqaloss.report.page import Report, write_report
    from iqaloss.report.provenance import versions

    note = f"Differences from {told['against']}: mean [95 % interval of the paired bootstrap], * leaves out zero."
    blocks: list[Block] = [_pictures(found, Pictures), Table("Figures", rows_of(told), note)]
    dimensions = [m for m in found.measures if m not in _others(found)]
    means = {method: {m: values[m] for m in dimensions} for method, values in told["means"].items()}
    gaps = {method: {m: rows[m]["mean"] for m in dimensions} for method, rows in told["differences"].items()}
    ends = {
        method: {m: (rows[m]["low"], rows[m]["high"]) for m in dimensions}
        for method, rows in told["differences"].items()
    }
    try:
        blocks.append(bars(f"Better than {told['against']} by", gaps, ends, "difference of scores"))
        if len(dimensions) > 3:
            blocks.append(radar("Scores", means))
    except ImportError as error:
        blocks.append(Text("Charts", [str(error)]))
    blocks += [Facts("Settings", facts), Facts("Versions", versions())]
    title = " against ".join(found.methods)
    return write_report(Report(title, f"{told['pictures']} pictures.", blocks), out / "report.html")


def _others(found: Comparison) -> set[str]:
    """Measures by the truth, whose scales differ from the scores'."""
    from iqaloss.evaluation.panel.judges import JUDGES

    return set(JUDGES) & set(found.measures)


def _pictures(found: Comparison, block: Any) -> Any:
    """The pictures on which methods differ most, and least, spread over the differences."""
    import numpy as np

    from iqaloss.data.images import open_image

    scores = np.stack([rows["score"] for rows in found.values.values()])
    order = np.argsort(-(scores.max(axis=0) - scores.min(axis=0)))
    chosen = [int(order[k * len(order) // min(PICTURES, len(order))]) for k in range(min(PICTURES, len(order)))]
    paths = dict(found.matched.paths)
    if found.matched.reference is not None:
        paths["truth"] = found.matched.reference
    pictures, captions = {}, {}
    for index in chosen:
        name = found.matched.names[index]
        pictures[name] = {method: _middle(open_image(each[index])) for method, each in paths.items()}
        captions[name] = {method: f"score {rows['score'][index]:.3f}" for method, rows in found.values.items()}
    return block("Pictures, those that differ most first", pictures, captions, found.methods[:2])


def _middle(image: Any) -> Any:
    width, height = (min(SIDE, side) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
