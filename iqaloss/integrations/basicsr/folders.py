"""The folders of a training: made anew, an older run of the same name moved aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def make_folders(opt: dict[str, Any], options: Mapping[str, Any], *, fresh: bool) -> None:
    """Makes the experiment's folders, moving those of an older run of the same name aside, and keeps the recipe."""
    import yaml
    from basicsr.utils import make_exp_dirs

    if opt["rank"] != 0:
        return
    if fresh:
        _move_aside(Path(opt["path"]["experiments_root"]))
        make_exp_dirs(opt)
        if opt["logger"]["use_tb_logger"]:
            _move_aside(Path(tensorboard_folder(opt)))
    recipe = Path(opt["path"]["experiments_root"]) / "recipe.yml"
    recipe.write_text(yaml.safe_dump(dict(options), sort_keys=False), encoding="utf-8")


def _move_aside(folder: Path) -> None:
    """Gives an older run's folder a name that no other has, also where two runs begin within a second."""
    if folder.exists():
        from basicsr.utils import get_time_str

        named = [f"{folder.name}_archived_{get_time_str()}{more}" for more in ("", *(f"_{n}" for n in range(2, 100)))]
        folder.rename(next(folder.with_name(name) for name in named if not folder.with_name(name).exists()))


def tensorboard_folder(opt: Mapping[str, Any]) -> str:
    """Returns the folder of TensorBoard's files."""
    return str(Path(opt["root_path"]) / "tb_logger" / opt["name"])
