"""The MAD competition: what is chosen, what is computed once, and what a folder may lack."""

from __future__ import annotations

import tracemalloc
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from iqaloss import IQALoss
from iqaloss.ranking import selection
from iqaloss.ranking.selection import by_features, by_pairs, describe_by, find_outputs, measure, select
from iqaloss.scorers.factory import create_tiny


def make_folders(root: Path, methods: int, images: int, side: int = 8, seed: int = 0) -> dict[str, Path]:
    generator = np.random.default_rng(seed)
    folders = {f"m{k:02d}": root / f"m{k:02d}" for k in range(methods)}
    for folder in folders.values():
        folder.mkdir(parents=True)
        for k in range(images):
            pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{k:04d}.png")
    return folders


def mean_gap(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().flatten(1).mean(1)


def look(image: Tensor) -> Tensor:
    return image[0, :, ::4, ::4].flatten()


def greedy(distance: np.ndarray, described: np.ndarray, count: int, diversity: float) -> list[int]:
    """Eq. 1, word for word."""
    chosen: list[int] = []
    while len(chosen) < count:
        values = {}
        for x in set(range(len(distance))) - set(chosen):
            far = [np.mean((described[x].astype(float) - described[s]) ** 2) for s in chosen]
            values[x] = distance[x] + diversity * (np.mean(far) if far else 0)
        chosen.append(max(sorted(values), key=values.__getitem__))
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.1, 10.0])
def test_selection_is_equation_1(tmp_path: Path, diversity: float) -> None:
    outputs = find_outputs(make_folders(tmp_path / "out", 4, 12))
    distances, described = measure(outputs, by_pairs(mean_gap), look, tmp_path / "cache", label="x")
    rows = list(select(outputs, distances, described, 5, diversity))
    assert len(rows) == 6 * 5
    for pair, (first, second) in enumerate(combinations(outputs.methods, 2)):
        mine = [row for row in rows if (row["first"], row["second"]) == (first, second)]
        assert [row["order"] for row in mine] == [1, 2, 3, 4, 5]
        want = greedy(distances[:, pair], described, 5, diversity)
        assert [row["image"] for row in mine] == [outputs.names[k] for k in want]
        assert mine[0]["semantic"] == 0
        assert mine[0]["distance"] == distances[:, pair].max()
        assert mine[1]["semantic"] == pytest.approx(np.mean((described[want[0]] - described[want[1]]) ** 2), rel=1e-5)


def test_distances_are_those_of_the_files(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "out", 3, 2)
    outputs = find_outputs(folders)
    distances, described = measure(outputs, by_pairs(mean_gap, micro_batch=2), look, tmp_path / "cache", label="x")
    assert distances.shape == (2, 3)
    read = [np.asarray(Image.open(folder / "0001.png"), np.float64) / 255 for folder in folders.values()]
    np.testing.assert_allclose(distances[1], [np.abs(a - b).mean() for a, b in combinations(read, 2)], rtol=1e-5)
    np.testing.assert_allclose(described[1], read[0].transpose(2, 0, 1)[:, ::4, ::4].ravel(), rtol=1e-5)


def test_a_loss_measures_pairs_as_when_it_is_called(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.rand(5, 3, 64, 64)
    scorer = create_tiny("mdiqa-mobile")
    found = by_features(IQALoss(scorer, "fr"), micro_batch=2)(images)
    pairs = torch.combinations(torch.arange(5))
    want = IQALoss(scorer, "fr", reduction="none")(images[pairs[:, 0]], images[pairs[:, 1]])
    torch.testing.assert_close(found, want)
    described = describe_by(IQALoss(scorer, "fr"))
    assert described(images[:1]).ndim == 1
    assert not torch.equal(described(images[:1]), described(images[1:2]))


def test_distances_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "PART", 4)
    folders = make_folders(tmp_path / "out", 2, 10)
    calls: list[int] = []

    def counted(outputs: Tensor) -> Tensor:
        calls.append(len(outputs))
        return by_pairs(mean_gap)(outputs)

    def run(label: str = "x") -> tuple[int, np.ndarray]:
        calls.clear()
        found = measure(find_outputs(folders), counted, look, tmp_path / "cache", label=label)[0]
        return len(calls), found

    first, again = run(), run()
    assert (first[0], again[0]) == (10, 0)
    np.testing.assert_array_equal(first[1], again[1])
    Image.new("RGB", (8, 8)).save(folders["m00"] / "0009.png")
    assert run()[0] == 2  # the part of two pictures that the changed file is in
    (tmp_path / "cache" / "part-000000.npz").unlink()
    assert run()[0] == 4
    assert run("other weights")[0] == 10


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "PART", 4)
    outputs = find_outputs(make_folders(tmp_path / "out", 2, 10))
    calls: list[int] = []

    def stops(images: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return by_pairs(mean_gap)(images)

    with pytest.raises(KeyboardInterrupt):
        measure(outputs, stops, look, tmp_path / "cache", label="x")
    measure(outputs, stops, look, tmp_path / "cache", label="x")
    assert len(calls) == 7 + 6
    assert not list((tmp_path / "cache").glob("*.tmp*"))


def test_memory_grows_by_numbers_not_by_images(tmp_path: Path) -> None:
    """12 methods, 50 pictures: 20 kB of pixels a picture are read, and 0.3 kB of distances are kept."""
    folders = make_folders(tmp_path / "out", 12, 50, side=24)

    def peak(count: int) -> int:
        found = find_outputs(folders)
        outputs = selection.Outputs(found.methods, found.names[:count], found.files[:count])
        tracemalloc.start()
        measure(outputs, by_pairs(mean_gap), look, tmp_path / f"cache{count}", label="x")
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(10)  # what is imported on the way
    assert peak(50) - peak(20) < 30 * 8_000  # less than the pixels of half a method's outputs


def test_inputs_stand_for_the_pictures(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "out", 2, 3)
    inputs = make_folders(tmp_path / "in", 1, 5, seed=9)["m00"]
    outputs = find_outputs(folders, inputs)
    assert outputs.names == ("0000", "0001", "0002")
    assert {Path(files[-1]).parent for files in outputs.files} == {inputs}


def test_what_does_not_fit_together_is_told(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "out", 3, 3)
    with pytest.raises(ValueError, match="at least two methods, got m00"):
        find_outputs({"m00": folders["m00"]})
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        find_outputs({**folders, "x": tmp_path / "nowhere"})
    outputs = find_outputs(folders)
    for count in (0, 4):
        with pytest.raises(ValueError, match="number of pictures, 3"):
            list(select(outputs, np.zeros((3, 3)), np.zeros((3, 1)), count))
    Image.new("RGB", (9, 8)).save(folders["m02"] / "0002.png")
    with pytest.raises(ValueError, match=r"m00/0002.png is 8x8, .*m02/0002.png is of another size"):
        measure(outputs, by_pairs(mean_gap), look, tmp_path / "cache", label="x")
    (folders["m01"] / "0001.png").unlink()
    with pytest.raises(ValueError, match="m01 must hold the same images: one has 0001"):
        find_outputs(folders)
