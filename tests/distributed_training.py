"""What the distributed tests run on every process: a recipe, given as JSON, into a folder."""

from __future__ import annotations

import json
import sys

import torch

from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes.files import recipe_from

if __name__ == "__main__":
    torch.set_num_threads(1)
    values, out = json.loads(sys.argv[1]), sys.argv[2]
    Trainer(recipe_from(values), out, resume="--resume" in sys.argv, bar=False, cpu=True).fit()
