"""The demo's trainings: recipes for BasicSR, and their checkpoints."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from examples.demo.photos import Photos
from examples.demo.plan import SCALE, Plan, Run
from iqaloss._files import replacing
from iqaloss._version import __version__
from iqaloss.data.images import to_image, to_tensor
from iqaloss.scorers.registry import entry


def recipe(run: Run, plan: Plan, photos: Photos, start: Path | None) -> dict[str, Any]:
    """Returns the BasicSR recipe of a training.

    Args:
        run: What is trained.
        plan: Sizes and lengths.
        photos: The pairs.
        start: The checkpoint to start from; None starts afresh.
    """
    steps = plan.steps
    options: dict[str, Any] = {
        "name": run.name,
        "model_type": "IQASRModel",
        "scale": SCALE,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": _data(photos.train), "val": _data(photos.held_out)},
        "network_g": {
            "type": "MSRResNet",
            "num_feat": plan.features,
            "num_block": plan.blocks,
            "upscale": SCALE,
        },
        "path": {"pretrain_network_g": None if start is None else str(start)},
        "train": {
            "optim_g": {"type": "Adam", "lr": plan.rate},
            "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [steps], "eta_min": 1e-6},
            "total_iter": steps,
            "warmup_iter": steps // 20,
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "val": {"val_freq": steps, "metrics": _metrics(plan)},
        "logger": {"print_freq": max(1, steps // 10), "save_checkpoint_freq": max(1, steps // 5)},
        # Read by nothing: what a finished training must have been made with to be kept.
        "notes": {
            "version": __version__,
            "photos": photos.digest,
            "scorer": _scorer_digest(plan),
            "start": None if plan.start is None else digest_of(plan.start),
        },
    }
    options["datasets"]["train"].update(
        gt_size=plan.patch,
        use_hflip=True,
        use_rot=True,
        batch_size_per_gpu=plan.batch,
        num_worker_per_gpu=0,
        dataset_enlarge_ratio=100,
    )
    if run.weights is not None:
        options["train"]["iqa_opt"] = {
            "iqa": {
                "type": "MDIQALoss",
                "scorer": plan.scorer,
                "mode": plan.mode,
                "weights": dict(run.weights),
                "loss_weight": run.times * plan.loss_weight,
                **plan.options,
            }
        }
    return options


def _data(folder: Path) -> dict[str, Any]:
    return {
        "type": "PairedImageDataset",
        "dataroot_gt": str(folder / "gt"),
        "dataroot_lq": str(folder / "lq"),
        "io_backend": {"type": "disk"},
    }


def _metrics(plan: Plan) -> dict[str, Any]:
    iqa = {"type": "calculate_iqa", "scorer": plan.scorer, "crop_border": SCALE}
    return {
        "psnr": {"type": "calculate_psnr", "crop_border": SCALE, "test_y_channel": True},
        "score": {**iqa, "dimension": "score"},
        "sharpness": {**iqa, "dimension": "sharpness"},
    }


def _scorer_digest(plan: Plan) -> str:
    if not isinstance(plan.scorer, str):
        return str(plan.scorer)
    card = entry(plan.scorer).card
    return card.embedded.sha256 if card.embedded is not None else card.name


def train(run: Run, plan: Plan, photos: Photos, out: Path, *, progress: bool) -> Path:
    """Trains a network, or goes on with its training, unless that is done; returns its checkpoint."""
    import yaml

    from iqaloss.integrations.basicsr import train as train_recipe

    wanted = recipe(run, plan, photos, None if plan.start is None else start_checkpoint(plan.start, out))
    kept = out / "experiments" / run.name / "recipe.yml"
    same = kept.is_file() and yaml.safe_load(kept.read_text(encoding="utf-8")) == wanted
    if not (same and checkpoint(run, out).is_file()):
        train_recipe(wanted, root=out, auto_resume=same, progress=progress, log_lines=False)
    return checkpoint(run, out)


def start_checkpoint(file: Path, out: Path) -> Path:
    """Writes the tensors that networks start from as BasicSR reads them; returns the file."""
    from safetensors.torch import load_file

    written = out.absolute() / "start.pth"
    with replacing(written) as temporary:
        torch.save({"params": load_file(file)}, temporary)
    return written


def digest_of(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def checkpoint(run: Run, out: Path) -> Path:
    """Returns where BasicSR leaves the network of a finished training."""
    return out.absolute() / "experiments" / run.name / "models" / "net_g_latest.pth"


def load_network(run: Run, plan: Plan, photos: Photos, out: Path) -> nn.Module:
    """Loads a trained network as BasicSR does it: built from the recipe, loaded strictly."""
    from basicsr.archs import build_network

    network: nn.Module = build_network(recipe(run, plan, photos, None)["network_g"])
    saved = torch.load(checkpoint(run, out), map_location="cpu", weights_only=True)
    network.load_state_dict(saved["params"], strict=True)
    return network.eval()


def restore(network: nn.Module, image: Image.Image) -> Image.Image:
    """Runs a network on a picture."""
    pixels = to_tensor(image.convert("RGB"))[None]
    with torch.no_grad():
        return to_image(network(pixels)[0])
