"""Going on where a training was stopped, to the very step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iqaloss.integrations.basicsr.compat import load_training_state
from iqaloss.integrations.basicsr.recipe import RecipeError
from iqaloss.scorers.state_dicts import read_file

KEY = "iqaloss"
"""Where our part of a BasicSR training state stands in it."""

NEEDED = ("epoch", "iter", "optimizers", "schedulers")
"""What BasicSR keeps in a training state."""


@dataclass
class Place:
    """Where a training stands in its epoch.

    Attributes:
        pictures: Pictures of the epoch that were trained on.
        seed: The training's seed.
    """

    pictures: int = 0
    seed: int | None = None

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> Place:
        """Reads the place of a training state; the beginning of the epoch where BasicSR alone wrote it."""
        return cls(**(state or {}).get(KEY, {}))

    def noted(self, saved: Any) -> Any:
        """Returns a BasicSR training state with this place in it; anything else as it is."""
        if not (isinstance(saved, dict) and set(NEEDED) <= set(saved)):
            return saved
        return {**saved, KEY: {"pictures": self.pictures, "seed": self.seed}}


def find_state(opt: dict[str, Any], auto_resume: bool) -> dict[str, Any] | None:
    """Returns the training state to go on from, if any, and sets the networks' paths to those saved with it.

    Args:
        opt: The complete options; ``path`` is changed.
        auto_resume: Whether to look for the newest state that is whole, networks included; those that are not are
            named in a warning.

    Raises:
        RecipeError: If the state that the recipe names cannot be read, or none of those that there are.
    """
    from basicsr.utils import check_resume

    opt["auto_resume"] = auto_resume
    wanted = opt["path"].get("resume_state")
    found = _newest(opt) if auto_resume else None
    if found is None and wanted is not None:
        found = Path(wanted), _whole(Path(wanted), opt)
    opt["path"]["resume_state"] = None if found is None else str(found[0])
    if found is None:
        return None
    state = found[1]
    check_resume(opt, state["iter"])
    # What the recipe says of a foreign file's keys is not true of our own.
    opt["path"].update({key: "params" for key in opt["path"] if key.startswith("param_key")})
    return state


def _newest(opt: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    found = [path for path in Path(opt["path"]["training_states"]).glob("*.state") if path.stem.isdecimal()]
    damaged: list[RecipeError] = []
    for path in sorted(found, key=lambda path: -int(path.stem)):
        try:
            return path, _whole(path, opt)
        except RecipeError as error:
            damaged.append(error)
            warnings.warn(f"{error}; going back to the state before it", stacklevel=2)
    if damaged:
        raise RecipeError(f"none of the {len(damaged)} training states can be read: {damaged[0]}")
    return None


def _whole(path: Path, opt: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a state, and makes sure that the networks saved with it can be read too."""
    try:
        state = load_training_state(path)
        for key in NEEDED:
            if key not in state:
                raise ValueError(f"it lacks {key!r}")
        for network in _networks(opt):
            read_file(Path(opt["path"]["models"]) / f"net_{network}_{state['iter']}.pth")
    except Exception as error:  # whatever a damaged file makes of a reader
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RecipeError(f"the training state {path} cannot be gone on from: {reason}") from error
    return state


def _networks(opt: Mapping[str, Any]) -> Iterator[str]:
    ignored = opt["path"].get("ignore_resume_networks") or ()
    for key in opt:
        if str(key).startswith("network_") and key not in ignored:
            yield key.removeprefix("network_")
