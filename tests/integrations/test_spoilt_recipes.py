"""Each value of each recipe replaced by odd ones, or left out: an error with its place, or a recipe that builds."""

from __future__ import annotations

import importlib.util
import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("basicsr") is None:
    pytest.skip("BasicSR is not installed (extra basicsr; not on Python 3.13)", allow_module_level=True)

from iqaloss.integrations.basicsr import register
from iqaloss.integrations.basicsr.call_checks import check_call
from iqaloss.integrations.basicsr.checks import check_recipe
from iqaloss.integrations.basicsr.compat import cpu_in_place_of_cuda
from iqaloss.integrations.basicsr.recipe import RecipeError, complete, read_recipe
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.scorers import checkpoints
from testing.cases import tiny
from testing.hostile import small_restoration_recipe, spoilt

register()

RECIPES = sorted((Path(__file__).parents[2] / "restoration_recipes").glob("*.yml"))
LONGEST = 20.0
"""Seconds in which a recipe is told or built."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("scorers")
    return {
        name: str(checkpoints.save(tiny(name), folder / f"{name}.safetensors")) for name in ("mdiqa", "mdiqa-mobile")
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The small scorers are built once: what a recipe says of them is checked before."""

    def build(spec: ScorerSpec) -> Any:
        spec.check_weights()
        return spec.tiny()

    monkeypatch.setattr(ScorerSpec, "build", build)
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def hold(done: str, options: Mapping[str, Any], folder: Path) -> str:
    """Asserts the law for a recipe; returns how it ended."""
    from basicsr.models import build_model

    start = time.monotonic()
    try:
        check_recipe(options)
    except RecipeError as error:
        words = [word for word in done.rpartition(":")[0].split(".") if not word.isdigit()]
        said = str(error)
        assert any(word in said for word in words[-2:]), f"{done}: {said}"
        ended = "told"
    else:
        with cpu_in_place_of_cuda(True):
            build_model(complete(dict(options), folder, rank=0, world_size=1))
        ended = "built"
    assert time.monotonic() - start < LONGEST, done
    return ended


def small(path: Path, weights: dict[str, str], folder: Path) -> dict[str, Any]:
    (folder / "something").touch()
    options = small_restoration_recipe(read_recipe(path, ["num_gpu=0"]), weights, folder)
    assert hold(":", options, folder) == "built"
    return options


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "every"), [("msrresnet_x4_both", 89), ("realesrgan_2_mdiqa_nr", 331)])
def test_a_spoilt_recipe_is_told_with_its_place_or_builds(
    name: str, every: int, weights: dict[str, str], tmp_path: Path
) -> None:
    path = next(path for path in RECIPES if path.stem == name)
    for done, options in islice(spoilt(small(path, weights, tmp_path)), 7, None, every):
        hold(done, options, tmp_path)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("key", ["network_d", "train.optim_d", "train.gan_opt"])
@pytest.mark.parametrize("given", ["nothing", None, {}], ids=["left out", "null", "empty"])
def test_what_a_discriminator_needs_is_missed(key: str, given: Any, weights: dict[str, str], tmp_path: Path) -> None:
    options = small(next(path for path in RECIPES if path.stem == "realesrgan_1_plain"), weights, tmp_path)
    *above, last = key.split(".")
    inside = options[above[0]] if above else options
    if given == "nothing":
        del inside[last]
    else:
        inside[last] = given
    with pytest.raises(RecipeError, match=rf"{re.escape(key)} is missing|{re.escape(key)}: "):
        check_recipe(options)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("slot", ["pixel_opt", "perceptual_opt", "ldl_opt"])
def test_an_empty_slot_is_no_loss(slot: str, weights: dict[str, str], tmp_path: Path) -> None:
    options = small(next(path for path in RECIPES if path.stem == "realesrgan_2_mdiqa_fr"), weights, tmp_path)
    options["train"][slot] = {}
    assert hold(f"train.{slot}: empty", options, tmp_path) == "built"


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("ECBSR", {"num_in_ch": 3, "num_out_ch": 3, "num_block": 2, "num_channel": 8, "with_idt": True,
                   "act_type": "prelu", "scale": 2}, None),
        ("RIDNet", {"in_channels": 3, "mid_channels": 8, "out_channels": 3}, None),
        ("SwinIR", {"img_size": 64, "window_size": 8}, None),
        ("SwinIR", {"img_size": 64, "window_size": 7}, "is invalid for input"),
        ("UNetDiscriminatorSN", {"num_in_ch": 3, "num_feat": 0}, "0 elements"),
    ],
)  # fmt: skip
def test_a_network_is_refused_for_its_own_faults_alone(kind: str, options: dict[str, Any], told: str | None) -> None:
    """Not for those of being built without memory."""
    from basicsr.utils.registry import ARCH_REGISTRY

    found = list(check_call("network_g", {"type": kind, **options}, ARCH_REGISTRY, "network", build=True))
    assert len(found) == (told is not None), found
    assert not told or told in found[0]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_any_spoilt_recipe_is_told_with_its_place_or_builds(
    path: Path, weights: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = Counter(hold(done, options, tmp_path) for done, options in spoilt(small(path, weights, tmp_path)))
    with capsys.disabled():
        print(f"\n{path.stem}: {ended.total()} spoilt recipes, {ended['told']} told, {ended['built']} built")
    assert ended["told"] > ended["built"]
