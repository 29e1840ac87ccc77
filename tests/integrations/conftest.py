"""A small BasicSR training that several files of tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss.scorers import checkpoints
from iqaloss.scorers.factory import create_tiny


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A recipe's word for a small scorer with random weights, kept in a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("scorer") / "tiny.safetensors"
    checkpoints.save(create_tiny("mdiqa-mobile"), path)
    return {"name": "mdiqa-mobile", "weights": str(path)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of small images."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind, side in (("gt", 64), ("lq", 16)):
        (folder / kind).mkdir()
        for index in range(4):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{index}.png")
    return folder


@pytest.fixture
def recipe(scorer: dict[str, str], photos: Path) -> dict[str, Any]:
    data = {
        "type": "PairedImageDataset",
        "dataroot_gt": str(photos / "gt"),
        "dataroot_lq": str(photos / "lq"),
        "io_backend": {"type": "disk"},
    }
    return {
        "name": "tiny",
        "model_type": "IQASRModel",
        "scale": 4,
        "num_gpu": 0,
        "manual_seed": 1,
        "datasets": {
            "train": {
                **data,
                "gt_size": 64,
                "use_hflip": True,
                "use_rot": True,
                "batch_size_per_gpu": 2,
                "num_worker_per_gpu": 0,
            },
            "val": dict(data),
        },
        "network_g": {"type": "MSRResNet", "num_feat": 8, "num_block": 1, "upscale": 4},
        "path": {},
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [100], "gamma": 0.5},
            "total_iter": 4,
            "pixel_opt": {"type": "L1Loss"},
            "iqa_opt": {
                "sharp": {"type": "MDIQALoss", "weights": {"sharpness": 2.0}, "scorer": scorer, "loss_weight": 0.1},
                "near": {"type": "IQALoss", "mode": "fr", "scorer": scorer},
            },
        },
        "val": {
            "val_freq": 2,
            "metrics": {
                "psnr": {"type": "calculate_psnr", "crop_border": 4},
                "sharpness": {"type": "calculate_iqa", "scorer": scorer, "dimension": "sharpness", "crop_border": 4},
            },
        },
        "logger": {"print_freq": 2, "save_checkpoint_freq": 2},
    }
