"""``python -m iqaloss.integrations.basicsr -opt recipe.yml``: trains a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from iqaloss._stopping import stoppable
from iqaloss.integrations.basicsr import train

STOPPED = "stopped; what was saved is whole, and the same command with --auto_resume goes on from there"


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
    with stoppable() as stopped:
        try:
            train(
                given.opt,
                root=given.root,
                overrides=given.force_yml,
                auto_resume=given.auto_resume,
                launcher=given.launcher,
                progress=not given.quiet,
            )
            if not stopped:
                return 0
        except (ValueError, TypeError, OSError, ImportError) as error:
            if not stopped:
                sys.stderr.write(f"{error}\n")
                return 2
        except BaseException:
            # Ctrl-C inside an import or a library may come out as an error of that library.
            if not stopped:
                raise
        sys.stderr.write(f"{STOPPED}\n")
        return 128 + stopped[0]


if __name__ == "__main__":
    sys.exit(main())
