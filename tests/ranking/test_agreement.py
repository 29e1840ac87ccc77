"""2AFC against votes: published baselines, ties, groups, intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from iqaloss.ranking.agreement import (
    agreement,
    by_scores,
    method_prior,
    oracle,
    preferences,
    score_images,
    two_afc_votes,
)
from iqaloss.ranking.models import fit
from iqaloss.ranking.reading import read_votes
from iqaloss.ranking.votes import Votes, make_votes


def people(seed: int = 0, images: int = 30, subjects: int = 12) -> Votes:
    """One vote a row: A is better than B on most pictures, and people differ."""
    generator = np.random.default_rng(seed)
    lean = generator.normal(0.4, 0.8, images)
    rows = [(k, s) for k in range(images) for s in range(subjects)]
    wins = [bool(generator.random() < 1 / (1 + np.exp(-2 * lean[k]))) for k, _ in rows]
    return make_votes(
        ["A" if win else "B" for win in wins], ["B" if win else "A" for win in wins], [(1, 0)] * len(rows),
        images=[f"{k}.png" for k, _ in rows], subjects=[f"s{s}" for _, s in rows],
        groups=["odd" if k % 2 else "even" for k, _ in rows],
        outputs=[("A/" if win else "B/", "B/" if win else "A/") for win in wins],
    )  # fmt: skip


def test_realsr1k_gives_the_published_baselines(shared: Path) -> None:
    votes = read_votes(shared / "data" / "realsr1k_votes.csv")
    best = agreement(votes, oracle(votes), repeats=0)
    assert [one.group for one in best] == ["", "mad", "mid"]
    assert [one.pairs for one in best] == [1056, 528, 528]
    assert [round(one.two_afc, 4) for one in best] == [0.7767, 0.8025, 0.7508]
    assert best[0].two_afc == pytest.approx(0.776680, abs=1e-6)
    prior = agreement(votes, method_prior(votes, fit(votes)), repeats=0)[0]
    assert round(prior.two_afc, 4) == 0.6958
    assert agreement(votes, np.full(1056, 0.5), repeats=0)[0].two_afc == pytest.approx(0.5)


def test_equal_scores_count_one_half() -> None:
    votes = make_votes(["A", "A"], ["B", "B"], [(9, 1), (4, 6)], images=["x", "y"])
    found = agreement(votes, preferences([1.0, 1.0], [1.0, 2.0]), repeats=0)[0]
    assert found.tied == 1
    assert found.two_afc == pytest.approx((0.5 + 0.6) / 2)


def test_sides_and_single_votes_change_nothing() -> None:
    votes = people()
    trials = votes.trials[0]
    flipped = make_votes(
        [votes.methods[k] for k in trials.second], [votes.methods[k] for k in trials.first], trials.cast[:, [1, 0, 2]],
        images=trials.images,
    )  # fmt: skip
    assert (trials.first == 0).all()
    np.testing.assert_array_equal(flipped.trials[0].cast, trials.cast)
    want = agreement(votes, oracle(votes), repeats=0)[0].two_afc
    assert agreement(flipped, oracle(flipped), repeats=0)[0].two_afc == pytest.approx(want)


def test_groups_are_measured_on_their_own() -> None:
    votes = people()
    q = np.random.default_rng(1).random(len(votes.trials[0])).round()
    for one in agreement(votes, q, repeats=0)[1:]:
        share = (votes.trials[0].won / votes.trials[0].total)[np.array(votes.trials[0].groups) == one.group]
        want = two_afc_votes(q[np.array(votes.trials[0].groups) == one.group], share)
        assert one.two_afc == pytest.approx(want)


def brute_force(votes: Votes, q: np.ndarray, over: str, repeats: int) -> np.ndarray:
    """The bootstrap spelled out: whole images or subjects drawn again, rows put together, the mean over pairs."""
    generator, found = np.random.default_rng(5), []
    labels = np.array(votes.images if over == "images" else votes.subjects)
    trial_of = votes.trials[1]
    first = votes.first == votes.trials[0].first[trial_of]
    won = np.where(first, votes.won, votes.total - votes.won)
    for _ in range(repeats):
        drawn = generator.choice(np.unique(labels), len(np.unique(labels)))
        if over == "images":
            share = votes.trials[0].won / votes.trials[0].total
            rows = np.concatenate([np.flatnonzero(np.array(votes.trials[0].images) == name) for name in drawn])
            found.append(two_afc_votes(q[rows], share[rows]))
        else:
            rows = np.concatenate([np.flatnonzero(labels == name) for name in drawn])
            top, total = (np.bincount(trial_of[rows], each[rows], len(q)) for each in (won, votes.total))
            found.append(two_afc_votes(q[total > 0], (top / np.maximum(total, 1))[total > 0]))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize("over", ["images", "subjects"])
def test_intervals_are_those_of_the_bootstrap_spelled_out(over: str) -> None:
    votes = people()
    q = np.ones(len(votes.trials[0]))
    fast = agreement(votes, q, repeats=2000)[0]
    low, high = brute_force(votes, q, over, 2000)
    assert fast.intervals[over] == pytest.approx((low, high), abs=0.012)
    assert low < fast.two_afc < high


def test_intervals_need_names() -> None:
    votes = make_votes(["A", "B"], ["B", "A"], [(3, 1), (2, 2)])
    assert agreement(votes, oracle(votes))[0].intervals == {}


def test_scores_are_found_by_the_names_of_the_images() -> None:
    votes = make_votes(["B"], ["A"], [(3, 1)], images=["x"], outputs=[("x_B.png", "x_A.png")])
    np.testing.assert_array_equal(by_scores(votes, {"x_A.png": 0.1, "x_B.png": 0.9}), [0.0])
    with pytest.raises(ValueError, match=r"1 of 2 images of votes have no score: x_B\.png"):
        by_scores(votes, {"x_A.png": 0.1})


def test_an_image_is_scored_once_alone_or_against_its_original(tmp_path: Path) -> None:
    for name, level in (("A/x", 10), ("B/x", 90), ("o/x", 80)):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / f"{name}.png")
    votes = make_votes(["A", "B"], ["B", "A"], [(1, 0)] * 2, images=["x"] * 2, outputs=[("A/x", "B/x"), ("B/x", "A/x")])
    calls: list[int] = []

    def score(image: Tensor, *original: Tensor) -> Tensor:
        calls.append(len(original))
        return -(image - original[0]).abs().mean() if original else image.mean()

    alone = score_images(votes, tmp_path, score)
    assert alone == pytest.approx({"A/x": 10 / 255, "B/x": 90 / 255})
    against = score_images(votes, tmp_path, score, tmp_path / "o")
    assert against == pytest.approx({"A/x": -70 / 255, "B/x": -10 / 255})
    assert calls == [0, 0, 1, 1]
    assert torch.is_grad_enabled()
    with pytest.raises(FileNotFoundError, match="no image A/x in"):
        score_images(votes, tmp_path / "B", score)


@pytest.mark.parametrize(("q", "p"), [([2.0], [0.5]), ([1.0], [23.0]), ([1.0], [0.5, 0.5])])
def test_what_is_no_share_is_told(q: list[float], p: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]|as many"):
        two_afc_votes(q, p)
