"""The training loop around BasicSR's datasets, models and loggers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iqaloss._errors import check_choice
from iqaloss._files import locked
from iqaloss._progress import Advance
from iqaloss._progress import progress as show_progress
from iqaloss.integrations.basicsr.checks import check_recipe
from iqaloss.integrations.basicsr.compat import cpu_in_place_of_cuda, safe_files
from iqaloss.integrations.basicsr.drawing import begin
from iqaloss.integrations.basicsr.folders import make_folders, tensorboard_folder
from iqaloss.integrations.basicsr.loaders import Order, batches, training_pictures, validation_pictures
from iqaloss.integrations.basicsr.logs import explained, logging_to, silent
from iqaloss.integrations.basicsr.losses import set_step
from iqaloss.integrations.basicsr.recipe import RecipeError, complete, with_text_keys
from iqaloss.integrations.basicsr.registering import register
from iqaloss.integrations.basicsr.resuming import Place, find_state

LAUNCHERS = ("none", "pytorch", "slurm")


@dataclass
class Training:
    """What the loop works with.

    Attributes:
        opt: The complete options.
        model: The BasicSR model.
        loader: The training images.
        order: Their order, a new one in each epoch.
        val_loaders: The validation images.
        tb_logger: TensorBoard's writer, or None.
        messages: Writes the log lines.
        place: Where in its epoch the training stands.
        epoch: The epoch to start from.
        iteration: The last iteration that was done.
        failed: What could not be written.
    """

    opt: dict[str, Any]
    model: Any
    loader: Any
    order: Order
    val_loaders: list[Any]
    tb_logger: Any
    messages: Any
    place: Place
    failed: list[OSError]
    epoch: int = 0
    iteration: int = 0


def run(
    options: Mapping[str, Any],
    *,
    root: Path,
    auto_resume: bool,
    launcher: str | None,
    progress: bool,
    log_lines: bool,
) -> Path:
    """Checks a recipe, then trains it; see :func:`iqaloss.integrations.basicsr.train`."""
    register()
    check_recipe(options)
    rank, world_size = _launch(options, launcher)
    opt = complete(dict(options), root.absolute(), rank, world_size)
    with locked(root / "experiments" / f".{opt['name']}", rank == 0):
        return _train(opt, options, auto_resume, progress, log_lines)


def _train(opt: dict[str, Any], options: Mapping[str, Any], auto_resume: bool, progress: bool, log_lines: bool) -> Path:
    resume = find_state(opt, auto_resume)
    place, rank = Place.of(resume), opt["rank"]
    if options.get("manual_seed") is None and place.seed is not None:
        opt["manual_seed"] = place.seed
    place.seed = opt["manual_seed"]
    make_folders(opt, options, fresh=resume is None)

    from basicsr.utils import get_env_info, get_time_str, set_random_seed
    from basicsr.utils.options import dict2str

    torch.backends.cudnn.benchmark = True  # patches have one size
    set_random_seed(opt["manual_seed"] + rank)
    folder = Path(opt["path"]["experiments_root"])
    log_file = folder / f"train_{opt['name']}_{get_time_str()}.log"
    with (
        logging_to(log_file, console=log_lines) if rank == 0 else silent() as log,
        cpu_in_place_of_cuda(opt["num_gpu"] == 0),
        safe_files(place.noted) as failed,
        explained(opt["name"], log, log_file),
    ):
        log.info(get_env_info())
        log.info(dict2str(with_text_keys(opt)))
        training = _build(opt, resume, log, place, failed)
        try:
            total, shown = opt["train"]["total_iter"], progress and rank == 0
            with show_progress(opt["name"], total, start=training.iteration, shown=shown) as advance:
                _loop(training, log, advance)
        finally:
            if training.tb_logger is not None:
                training.tb_logger.close()
            if opt["dist"]:
                torch.distributed.destroy_process_group()
    return folder


def _launch(options: Mapping[str, Any], launcher: str | None) -> tuple[int, int]:
    """Joins the other processes, if there are any; returns this one's rank and their number."""
    if launcher is None:
        launcher = "pytorch" if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(os.environ) else "none"
    check_choice("launcher", launcher, LAUNCHERS)
    if launcher == "none":
        return 0, 1
    from basicsr.utils.dist_util import get_dist_info, init_dist

    if not torch.cuda.is_available():
        raise RecipeError(f"launcher {launcher!r} starts one process for each GPU, and this machine has no CUDA device")
    init_dist(launcher, **(options.get("dist_params") or {} if launcher == "slurm" else {}))
    rank, world_size = get_dist_info()
    return rank, world_size


def _build(
    opt: dict[str, Any], resume: dict[str, Any] | None, log: Any, place: Place, failed: list[OSError]
) -> Training:
    from basicsr.models import build_model
    from basicsr.utils import MessageLogger, init_tb_logger

    loader, order = training_pictures(opt)
    val_loaders = validation_pictures(opt)
    log.info(
        f"{len(loader.dataset)} training pictures, {len(order)} in an epoch; validation: {len(val_loaders)} set(s)."
    )
    tb_logger = init_tb_logger(tensorboard_folder(opt)) if opt["logger"]["use_tb_logger"] else None
    model = build_model(opt)
    training = Training(opt, model, loader, order, val_loaders, tb_logger, None, place, failed)
    if resume is not None:
        model.resume_training(resume)
        training.epoch, training.iteration = resume["epoch"], resume["iter"]
        log.info(f"Going on from epoch {training.epoch}, iteration {training.iteration}.")
    training.messages = MessageLogger(opt, training.iteration, tb_logger)
    return training


def _loop(training: Training, log: Any, advance: Advance) -> None:
    from basicsr.utils import AvgTimer

    opt, model, total = training.opt, training.model, int(training.opt["train"]["total_iter"])
    waiting, working = AvgTimer(), AvgTimer()
    validated = -1
    while training.iteration < total:
        training.order.begin(training.epoch, training.place.pictures)
        for batch in batches(training.loader, opt):
            waiting.record()
            training.iteration += 1
            training.place.pictures += training.loader.batch_size
            begin(opt["manual_seed"], opt["rank"], training.iteration)
            model.update_learning_rate(training.iteration, warmup_iter=opt["train"]["warmup_iter"])
            model.feed_data(batch)
            set_step(model, training.iteration)
            model.optimize_parameters(training.iteration)
            working.record()
            losses = list(model.get_current_log().items())[:2]
            advance(training.iteration, note="  ".join(f"{name} {value:.4f}" for name, value in losses))
            if training.iteration % opt["logger"]["print_freq"] == 0:
                _report(training, working.get_avg_time(), waiting.get_avg_time())
            if training.iteration % opt["logger"]["save_checkpoint_freq"] == 0:
                _save(training, training.epoch, training.iteration)
            if opt.get("val") is not None and training.iteration % opt["val"]["val_freq"] == 0:
                _validate(training)
                validated = training.iteration
            if training.iteration >= total:
                break
            waiting.start()
            working.start()
        training.epoch, training.place.pictures = training.epoch + 1, 0
    log.info("Saving the last model.")
    _save(training, -1, -1)
    if opt.get("val") is not None and validated != training.iteration:
        _validate(training)


def _save(training: Training, epoch: int, iteration: int) -> None:
    """Saves networks and state; raises ``OSError`` where BasicSR goes on without what it could not write."""
    training.failed.clear()
    training.model.save(epoch, iteration)
    if training.failed:
        raise training.failed[0]


def _report(training: Training, seconds: float, waiting: float) -> None:
    training.messages(
        {
            "epoch": training.epoch,
            "iter": training.iteration,
            "lrs": training.model.get_current_learning_rate(),
            "time": seconds,
            "data_time": waiting,
            **training.model.get_current_log(),
        }
    )


def _validate(training: Training) -> None:
    for loader in training.val_loaders:
        training.model.validation(loader, training.iteration, training.tb_logger, training.opt["val"]["save_img"])
