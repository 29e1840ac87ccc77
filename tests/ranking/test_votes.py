"""Tables of votes: layouts, counts, what belongs together, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iqaloss.ranking.reading import read_scores, read_votes, voters_behind
from iqaloss.ranking.votes import make_votes

SHARES = """sr_pair_names,group,name1_column,name2_column,score1_column,score2_column
A_B,mad,0001_A.png,0001_B.png,0.75,0.25
A_C-x,mid,cat_2_A.png,cat_2_C-x.png,0.5,0.5
"""
SIDES = (
    "left_file,right_file,response_left,orig_file\r'8_kriz_ssim_fc.png','8_kriz_mse_fc.png',1,'8_orig.png'\r"
    "'8_kriz_mse_fc.png','8_kriz_ssim_fc.png',0,'8_orig.png'\r'9_kriz_mse_fc.png','9_kriz_ssim_fc.png',1,'9_orig.png'"
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "votes.csv"
    path.write_bytes(text.encode())
    return path


def test_shares_become_whole_votes(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path, SHARES))
    assert votes.methods == ("A", "B", "C-x")
    assert votes.images == ("0001", "cat_2")
    assert votes.groups == ("mad", "mid")
    np.testing.assert_array_equal(votes.cast, [[3, 1, 0], [2, 2, 0]])
    np.testing.assert_array_equal(votes.counts(), [[0, 3, 2], [1, 0, 0], [2, 0, 0]])


def test_a_given_number_of_voters_is_taken(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_votes(write(tmp_path, SHARES), voters=8).total, [8, 8])
    with pytest.raises(ValueError, match="with 3 voters"):
        read_votes(write(tmp_path, SHARES), voters=3)


def test_shares_that_fit_no_number_of_voters_are_not_guessed() -> None:
    assert voters_behind(np.array([13 / 23, 1 / 23])) == 23
    with pytest.raises(ValueError, match="voters"):
        voters_behind(np.array([0.087, 0.913]))


def test_a_vote_a_row_with_ties_subjects_and_groups(tmp_path: Path) -> None:
    text = "Winner;Loser;image;subject;tie;group\nA;B;x.png;s1;0;g\nB;A;x.png;s2;yes;g\nB;C;y.png;s1;;h\n"
    votes = read_votes(write(tmp_path, text))
    assert votes.subjects == ("s1", "s2", "s1")
    np.testing.assert_array_equal(votes.counts(), [[0, 1.5, 0], [0.5, 0, 1], [0, 0, 0]])
    trials, of_row = votes.trials
    assert trials.outputs == (("A/x.png", "B/x.png"), ("B/y.png", "C/y.png"))
    np.testing.assert_array_equal(of_row, [0, 0, 1])
    np.testing.assert_array_equal(trials.cast, [[1, 0, 1], [1, 0, 0]])


def test_winner_and_loser_are_enough(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path, "winner,loser\nA,B\nA,B\nB,A\n"))
    assert len(votes.trials[0]) == 1
    np.testing.assert_array_equal(votes.counts(), [[0, 2], [1, 0]])
    with pytest.raises(ValueError, match="does not name the images"):
        _ = votes.seen


def test_left_and_right_files_of_two_networks(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path, SIDES))
    assert votes.methods == ("mse", "ssim")
    np.testing.assert_array_equal(votes.counts(), [[0, 1], [2, 0]])
    assert votes.trials[0].outputs is not None
    assert votes.trials[0].outputs[0] == ("8_kriz_mse_fc.png", "8_kriz_ssim_fc.png")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("winner,loser\nA,A\n", "line 2: 'A' is compared with itself"),
        ("winner,loser\nA,B\n,B\n", "line 3: a method has no name"),
        ("winner,loser,tie\nA,B,maybe\n", "line 2: unknown tie 'maybe'"),
        ("winner,lost\nA,B\n", "winner, loser"),
        ("winner,loser\n", "has no rows"),
        (SHARES.replace("0.25", "0.5"), "line 2: shares must add up to 1"),
        (SHARES.replace("0001_B", "0002_B"), "line 2: needs"),
        (SIDES.replace(",1,", ",2,"), "got '2'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_votes(write(tmp_path, text))


def test_votes_must_be_whole() -> None:
    with pytest.raises(ValueError, match="line 1: needs whole numbers of votes"):
        make_votes(["A"], ["B"], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="at least one"):
        make_votes(["A"], ["B"], [[0, 0]])
    with pytest.raises(ValueError, match="has no votes"):
        make_votes([], [], [])


def test_scores_must_be_finite(tmp_path: Path) -> None:
    path = write(tmp_path, "image,score\nx.png,0.5\ny.png,none\n")
    with pytest.raises(ValueError, match=r"line 3: the score of y\.png"):
        read_scores(path)
