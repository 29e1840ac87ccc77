"""``python -m iqaloss.integrations.basicsr -opt recipe.yml``: trains a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from iqaloss.integrations.basicsr import train
from iqaloss.integrations.basicsr.recipe import RecipeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, which is BasicSR's own, and trains; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m iqaloss.integrations.basicsr",
        description="Trains a BasicSR recipe with IQA losses, on CPU or CUDA. Recipes: restoration_recipes/*.yml.",
        epilog="Several GPUs: torchrun --nproc_per_node=4 -m iqaloss.integrations.basicsr -opt recipe.yml",
    )
    parser.add_argument("-opt", required=True, metavar="RECIPE", help="the recipe, a YAML file in BasicSR's format")
    parser.add_argument("--root", default=".", help="where experiments/ and tb_logger/ are written (default: here)")
    parser.add_argument("--auto_resume", action="store_true", help="go on from the newest training state")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), help="default: pytorch under torchrun")
    parser.add_argument(
        "--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="change the recipe: train:total_iter=1000"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no log lines, only the log file")
    parser.add_argument("--local_rank", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        train(
            given.opt,
            root=given.root,
            overrides=given.force_yml,
            auto_resume=given.auto_resume,
            launcher=given.launcher,
            progress=not given.quiet,
        )
    except (RecipeError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
