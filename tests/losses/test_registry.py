"""A name and options become a loss, checked once."""

from __future__ import annotations

from typing import Any

import pytest

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses import registry
from iqaloss.losses.options import loss_options
from iqaloss.losses.registry import LossSpec, build_losses, list_losses, register_loss
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.scorers.base import Scorer
from testing.cases import tiny

SHARP = {"type": "MDIQALoss", "weights": {"sharpness": 2.0}, "mode": "both"}


def test_a_spec_is_read_once_and_serves_the_check_and_the_training() -> None:
    spec = LossSpec.read({**SHARP, "scorer": {"name": "mdiqa-mobile"}})
    assert (spec.loss, spec.scorer) == (MDIQALoss, ScorerSpec("mdiqa-mobile"))
    spec.check()
    scorer = tiny("mdiqa-mobile")
    loss = spec.build(scorer)
    assert loss.scorer is scorer
    assert loss.mode == "both"


def test_the_default_scorer_is_the_loss_classs_own() -> None:
    assert LossSpec.read({"type": "PMTIQALoss"}).scorer.name == "pmt-iqa"
    assert LossSpec.read({"type": "IQALoss"}).scorer.name == "mdiqa-mobile"


def test_options_of_a_loss_include_its_parents() -> None:
    assert {"weights", "form", "loss_weight", "clamp", "micro_batch"} <= set(loss_options(MDIQALoss))
    assert "options" not in loss_options(MDIQALoss)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "MDIQLoss"}, "unknown loss type 'MDIQLoss'; did you mean 'MDIQALoss'"),
        ({"loss_wieght": 1}, "MDIQALoss: unknown option 'loss_wieght'; did you mean 'loss_weight'"),
        ({"chunk": 2}, "the option 'chunk' is called 'micro_batch' today"),
        ({"return_parts": True}, "the option 'return_parts' is called 'return_terms' today"),
        ({"scorer": "mdiqa-mobil"}, "did you mean 'mdiqa-mobile'"),
        ({"scorer": {"name": "mdiqa-mobile", "wieghts": "a"}}, "did you mean 'weights'"),
        ({"scorer": 3}, "a registered name or a mapping with name and weights, got 3"),
    ],
)
def test_a_slip_is_named_when_the_spec_is_read(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossSpec.read({**SHARP, **changes})
    with pytest.raises(ValueError, match="a loss is a mapping with a type"):
        LossSpec.read("MDIQALoss")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"sharpnes": 1.0}}, "did you mean 'sharpness'"),
        ({"mode": "nrr"}, "did you mean 'nr'"),
        ({"scorer": "mdiqa"}, r"technical \(needed\)"),
        ({"scorer": {"name": "mdiqa", "weights": "/no/such/folder"}}, "no weights at /no/such/folder"),
    ],
)
def test_a_wrong_value_is_named_by_the_check(changes: dict[str, Any], message: str) -> None:
    spec = LossSpec.read({**SHARP, **changes})
    with pytest.raises(ValueError, match=message):
        spec.check()


def test_losses_that_name_one_scorer_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(spec: ScorerSpec) -> Scorer:
        built.append(spec.name)
        return tiny(spec.name)

    monkeypatch.setattr(ScorerSpec, "build", build)
    words: tuple[Any, ...] = ("mdiqa-mobile", {"name": "mdiqa-mobile"}, {"name": "mdiqa-mobile", "weights": "mine"})
    losses = build_losses({str(i): LossSpec.read({**SHARP, "scorer": word}) for i, word in enumerate(words)})
    assert losses["0"].scorer is losses["1"].scorer
    assert losses["0"].scorer is not losses["2"].scorer
    assert len(built) == 2


def test_a_loss_of_ones_own_is_registered_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class MyLoss(IQALoss):
        def __init__(self, scorer: str | Scorer = "mdiqa-mobile", *, mine: int = 3, **options: Any) -> None:
            super().__init__(scorer, **options)
            self.mine = mine

    monkeypatch.setattr(registry, "_LOSSES", dict(registry._LOSSES))
    register_loss(MyLoss)
    register_loss(MyLoss)
    assert "MyLoss" in list_losses()
    spec = LossSpec.read({"type": "MyLoss", "mine": 4})
    assert vars(spec.build(tiny("mdiqa-mobile")))["mine"] == 4
    with pytest.raises(ValueError, match="did you mean 'mine'"):
        LossSpec.read({"type": "MyLoss", "mne": 4})
    with pytest.raises(ValueError, match=r"'IQALoss' is taken by iqaloss\.losses\.iqa_loss"):
        register_loss(type("IQALoss", (IQALoss,), {}))
