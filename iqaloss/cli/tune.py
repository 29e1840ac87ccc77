"""``iqaloss tune``: a restoration network of yours learns what a loss likes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.tuning.outcome import Outcome
    from iqaloss.tuning.tuner import Tuner


def tune(
    model: Annotated[Path, typer.Argument(help="Checkpoint of a restoration network: any that spandrel reads.")],
    images: Annotated[Path, typer.Option(help="Folder of good photographs to learn from.")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned checkpoint, report.html and settings.json.")],
    loss: Annotated[
        list[str] | None,
        typer.Option(help="A loss beside L1: a name, an expression or a recipe file; may be repeated. MDIQALoss."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Folder of low-quality inputs, named as the photographs; made by default.")
    ] = None,
    degradation: Annotated[
        str, typer.Option(help="What makes inputs: bicubic, realistic, noise:25, blur:1.6 or jpeg:40.")
    ] = "bicubic",
    steps: Annotated[int, typer.Option(help="Steps of the optimizer.")] = 1000,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-4,
    batch_size: options.StepSize = 4,
    patch: Annotated[int, typer.Option(help="Side of the patches of photographs.")] = 192,
    pixel_weight: Annotated[float, typer.Option(help="Weight of L1; 0 leaves it out.")] = 1.0,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights; 0 for no average.")] = 0.999,
    lora: Annotated[bool, typer.Option("--lora", help="Train low-rank adapters alone, and merge them.")] = False,
    rank: Annotated[int, typer.Option(help="Rank of --lora.")] = 4,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    seed: Annotated[int, typer.Option(help="Of patches and degradations.")] = 0,
    save_every: Annotated[int, typer.Option(help="Steps between two states to resume from.")] = 200,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="WEIGHT,WEIGHT", help="Tune once with each of these loss weights, and report on all."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(metavar="DIMENSION=LOW:HIGH", help="A slider of the network, MSRResNet; may be repeated."),
    ] = None,
    workers: options.Workers = 0,
    device: options.Device = None,
    resume: options.Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a restoration network with L1 and losses of perceived quality.

    It says beforehand what a step costs and how large each loss's gradient is beside that of L1, with the weight that
    balances them. The tuned checkpoint has the format and tensor names of the one that was given.

    Example: iqaloss tune 4x_mine.pth --images photographs --loss "MDIQALoss(sharpness=2)" --out tuned

    Which weight? iqaloss tune 4x_mine.pth --images photographs --sweep 0.01,0.03,0.1 --out swept

    One network under a slider: iqaloss tune start.safetensors --images photographs --condition sharpness=1:4 --out slid

    Several processes: accelerate launch -m iqaloss.cli tune MODEL --images FOLDER --out DIR
    """
    from iqaloss.tuning.settings import TuneSettings
    from iqaloss.tuning.tuner import Tuner

    settings = TuneSettings(
        model=str(model), images=str(images), inputs=None if inputs is None else str(inputs), degradation=degradation,
        losses=tuple(loss or ["MDIQALoss"]), pixel_weight=pixel_weight, steps=steps, lr=lr, batch_size=batch_size,
        patch=patch, ema=ema or None, lora=rank if lora else None, clip=clip, precision=precision, seed=seed,
        save_every=save_every, condition=tuple(condition or ()),
    )  # fmt: skip
    if device not in (None, "cpu", "cuda"):
        raise ValueError(f"--device takes cpu or cuda here, and CUDA_VISIBLE_DEVICES says which; got {device!r}")
    common: dict[str, Any] = {"resume": resume, "cpu": device == "cpu", "workers": workers}
    if condition:
        from iqaloss.tuning.steered import SteeredTuner, write_steering

        if sweep is not None:
            raise ValueError("--condition and --sweep both vary the loss: give one of them")
        steered = SteeredTuner(settings, out, **common)
        outcome = _tune(steered, dry_run, quiet)
        if outcome is not None:
            typer.echo(f"sliders: {write_steering(steered, out / f'{model.stem}_tuned{model.suffix}')}")
        return
    if sweep is None:
        _tune(Tuner(settings, out, **common), dry_run, quiet)
        return
    from iqaloss.tuning.sweep import read_weights, swept, write_sweep

    outcomes = {}
    weights = read_weights(sweep)
    for weight, (name, each) in zip(weights, swept(settings, weights).items()):
        tuner = Tuner(each, out / name, **common)
        outcome = _tune(tuner, dry_run, quiet)
        if outcome is not None:
            outcomes[weight] = outcome
    if outcomes:
        typer.echo(f"sweep: {write_sweep(outcomes, settings, out)}")


def _tune(tuner: Tuner, dry_run: bool, quiet: bool) -> Outcome | None:
    """Foresees and runs one tuning; the first process measures and reports what it did."""
    from iqaloss.tuning.outcome import measure, write_outcome

    say = tuner.accelerator.print
    network, photos = tuner.network, tuner.photos
    say(f"{network.title}, x{network.scale}; {len(photos.learned)} photographs, {len(photos.held_out)} held out")
    cost, balances = tuner.foresee()
    for line in [*cost.lines(tuner.settings.steps - tuner.step), *map(str, balances)]:
        say(line)
    for one in balances:
        if one.warning:
            typer.echo(f"warning: {one.warning}", err=True)
    if dry_run:
        return None
    tuned = tuner.fit(bar=not quiet)
    if not tuner.accelerator.is_main_process:
        return None
    outcome = measure(tuner, tuned)
    report = write_outcome(tuner, tuned, cost, balances, outcome)
    say(f"tuned network: {tuned}\nreport: {report}")
    return outcome
