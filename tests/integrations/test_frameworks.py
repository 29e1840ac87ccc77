"""traiNNer's terms, Lightning's callback, torchmetrics' metric, rewards: what the laws of adapters do not say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, MDIQALoss
from iqaloss.data.images import to_image
from iqaloss.integrations.rewards import IQAReward
from iqaloss.integrations.trainner import WeighedByTrainer, builders
from testing.cases import random_pair, tiny


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    return random_pair(MDIQALoss(scorer=tiny("mdiqa-mobile")))


# --- traiNNer ---


def test_terms_of_trainner_add_up_in_value_and_gradient(pair: tuple[Tensor, Tensor]) -> None:
    pred, target = pair
    plain = MDIQALoss({"sharpness": 3.0}, "both", tiny("mdiqa-mobile"), loss_weight=0.2)
    wrapped = WeighedByTrainer(MDIQALoss({"sharpness": 3.0}, "both", tiny("mdiqa-mobile"), loss_weight=0.2))
    terms = wrapped(pred, target)
    assert isinstance(terms, dict)
    assert min(float(term) for term in terms.values()) > 0
    assert wrapped.loss_weight == 0.2  # the trainer's to apply
    total = wrapped.loss_weight * sum(terms.values())
    torch.testing.assert_close(total, plain(pred, target))
    mine, theirs = (torch.autograd.grad(value, pred)[0] for value in (total, plain(pred, target)))
    torch.testing.assert_close(mine, theirs)


def test_a_term_that_the_trainer_would_drop_is_not_lost(pair: tuple[Tensor, Tensor]) -> None:
    pred, target = pair
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), relative_to="target_signed")
    found = WeighedByTrainer(loss)(pred, target)
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, loss(pred, target))


def test_nr_and_fr_have_types_of_their_own() -> None:
    known = builders()
    labels = {name.lower().replace("loss", "") for name in known}  # as traiNNer makes them, one loss for each
    assert len(labels) == len(known)
    assert {"mdiqanr", "mdiqafr", "mdiqa"} <= labels


# --- Lightning ---


def test_the_callback_tells_losses_the_step_and_logs_scores() -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed (extra lightning)")
    from iqaloss.integrations.lightning import IQACallback

    class Restorer(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(3, 3, 1)
            self.loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), loss_weight={0: 0.0, 10: 1.0})
            self.weights: list[float] = []

        def training_step(self, batch: Any, index: int) -> Tensor:
            images = batch[0]
            self.weights.append(self.loss.loss_weight)
            return (self.net(images) - images).abs().mean() + self.loss(self.net(images))

        def validation_step(self, batch: Any, index: int) -> dict[str, Tensor]:
            return {"restored": self.net(batch[0])}

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.net.parameters(), 0.01)

    module = Restorer()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(3, 3, 64, 64)), batch_size=1)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[IQACallback(tiny("mdiqa-mobile"))], **quiet
    )  # fmt: skip
    trainer.fit(module, data, data)
    assert module.weights == pytest.approx([0.0, 0.1, 0.2])
    assert {"iqa/score", "iqa/sharpness"} <= set(trainer.callback_metrics)
    assert set(module.state_dict()) == {"net.weight", "net.bias"}


# --- torchmetrics ---


def test_the_metric_is_the_mean_over_images_however_they_are_batched() -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed (extra torchmetrics)")
    from iqaloss.integrations.torchmetrics import IQAMetric

    scorer, images = tiny("mdiqa-mobile"), torch.rand(5, 3, 64, 64)
    for dimension in (None, "sharpness"):
        metric = IQAMetric(scorer, dimension)
        output = scorer(images)
        want = (output.score if dimension is None else output.dimensions[dimension]).mean()
        metric.update(images[:2])
        metric.update(images[2:], images[2:])
        torch.testing.assert_close(metric.compute(), want)
        metric.reset()
        metric.update(images[:1])
        assert not torch.equal(metric.compute(), want)
    assert IQAMetric.higher_is_better
    signed = IQAMetric(scorer, normalize=False)
    torch.testing.assert_close(signed(images * 2 - 1), scorer(images).score.mean())
    with pytest.raises(ValueError, match="did you mean 'sharpness'"):
        IQAMetric(scorer, "sharpnes")


# --- rewards ---


def test_a_reward_is_the_normalized_score_and_mixes_half_and_half(pair: tuple[Tensor, Tensor]) -> None:
    pred, target = pair[0].detach(), pair[1]
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), reduction="none")
    plain = IQAReward(loss)
    found = plain(pred, ["a", "b"], {"meta": 1}, step=3)
    assert found == pytest.approx((1 - loss(pred)).clamp(0, 1).tolist(), abs=1e-5)
    assert all(type(each) is float and 0 <= each <= 1 for each in found)
    truths = dict(zip("ab", target))
    mixed = IQAReward(loss, truths)(pred, ["a", "b"])
    distances = IQALoss(tiny("mdiqa-mobile"), "fr", reduction="none")(pred, target)
    want = [0.5 * score + 0.5 * max(0.0, 1 - d) for score, d in zip(found, distances.tolist())]
    assert mixed == pytest.approx(want, abs=1e-5)
    assert IQAReward(loss, truths.__getitem__, mix=0.0)(pred, ["a", "b"]) == pytest.approx(found, abs=1e-6)


def test_a_reward_takes_pictures_as_pipelines_make_them(pair: tuple[Tensor, Tensor]) -> None:
    reward = IQAReward(MDIQALoss(scorer=tiny("mdiqa-mobile")))
    pictures = [to_image(image) for image in pair[1]]
    near = reward(list(pair[1]), ["a", "b"])
    assert reward(pictures, ["a", "b"]) == pytest.approx(near, abs=0.02)
    with pytest.raises(ValueError, match="2 images have 1 prompts"):
        reward(pictures, ["a"])
    with pytest.raises(ValueError, match='mode="nr"'):
        IQAReward(MDIQALoss(mode="fr", scorer=tiny("mdiqa-mobile")))
