"""Manifests: columns, scales, bad rows with their lines, datasets and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss.data import splits
from iqaloss.data.dataset import ManifestDataset, Transform, collate, load_image
from iqaloss.data.manifest import Manifest, ManifestError
from iqaloss.data.open import open_rows
from iqaloss.data.scales import Scale


def picture(path: Path, size: tuple[int, int] = (8, 6), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index in range(6):
        picture(tmp_path / "photos" / f"{index}.png", seed=index)
    return tmp_path / "photos"


def table(folder: Path, text: str, name: str = "scores.csv") -> Path:
    path = folder.parent / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_column_is_read(photos: Path) -> None:
    path = table(
        photos,
        "image,score,std,reference,prompt,split,group,sharpness,note\n"
        '0.png,10,1,1.png,"a cat, sitting",train,g0,0.5,x\n'
        "2.png,30,2,,a dog,test,g1,0.75,y\n",
    )
    manifest = open_rows(path, photos)
    assert len(manifest) == 2
    assert manifest.images == (photos / "0.png", photos / "2.png")
    assert manifest.scores.tolist() == [10, 30]
    assert manifest.stds is not None
    assert manifest.stds.tolist() == [1, 2]
    assert manifest.references == (photos / "1.png", None)
    assert manifest.prompts == ("a cat, sitting", "a dog")
    assert manifest.splits == ("train", "test")
    assert manifest.groups == ("g0", "g1")
    assert manifest.target_names == ("score", "sharpness")
    assert manifest.target("sharpness").tolist() == [0.5, 0.75]
    assert manifest.lines == (2, 3)
    assert manifest.with_split("test").images == (photos / "2.png",)


@pytest.mark.parametrize(
    "header", ["image,mos", "Image Name,MOS,,", "filename,mean_opinion_score", "dist_img,quality_mos", "image\tscore"]
)
def test_synonyms_are_known(photos: Path, header: str) -> None:
    separator = "\t" if "\t" in header else ","
    path = table(photos, f"\ufeff{header}\n0.png{separator}0.25\n1.png{separator}0.5\n")
    assert open_rows(path, photos).target().tolist() == [0.25, 0.5]


def test_parquet_reads_as_csv_does(photos: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = photos.parent / "scores.parquet"
    parquet.write_table(arrow.table({"image": ["0.png", "1.png"], "mos": [1.0, 5.0], "contrast": [0.1, 0.9]}), path)
    manifest = open_rows(path, photos)
    assert manifest.target().tolist() == [0.0, 1.0]
    assert manifest.target("contrast").tolist() == [0.1, 0.9]
    assert manifest.lines == (1, 2)


@pytest.mark.parametrize(
    ("scores", "options", "want"),
    [
        ("0.2 0.4 0.9", {}, [0.2, 0.4, 0.9]),
        ("20 40 60", {}, [0.0, 0.5, 1.0]),
        ("20 40 60", {"lower_is_better": True}, [1.0, 0.5, 0.0]),
        ("20 40 60", {"scale": Scale(0, 100)}, [0.2, 0.4, 0.6]),
        ("20 40 60", {"scale": Scale(100, 0)}, [0.8, 0.6, 0.4]),
        ("3 3 3", {}, [0.0, 0.0, 0.0]),
    ],
)
def test_scores_are_normalized_and_turned(photos: Path, scores: str, options: dict, want: list[float]) -> None:
    rows = "".join(f"{index}.png,{score}\n" for index, score in enumerate(scores.split()))
    manifest = open_rows(table(photos, "image,score\n" + rows), photos, **options)
    np.testing.assert_allclose(manifest.target(), want)
    np.testing.assert_allclose(manifest.scale.restore(manifest.target()), [float(s) for s in scores.split()])


def test_a_dmos_column_is_turned_round(photos: Path) -> None:
    manifest = open_rows(table(photos, "image,dmos\n0.png,0\n1.png,80\n"), photos)
    assert manifest.target().tolist() == [1.0, 0.0]


BAD = "image,score\n0.png,0.5\nmissing.png,0.5\n1.png,nan\n2.png,\n0.png,0.6\nbroken.png,0.4\n,0.3\n3.png,0.7\n"


def test_every_bad_row_is_listed_with_its_line(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"not an image")
    with pytest.raises(ManifestError) as caught:
        open_rows(table(photos, BAD), photos)
    assert [(row.line, row.image) for row in caught.value.bad] == [
        (3, "missing.png"),
        (4, "1.png"),
        (5, "2.png"),
        (6, "0.png"),
        (7, "broken.png"),
        (8, ""),
    ]
    message = str(caught.value)
    for part in ("6 bad rows", "no such file", "'nan' is not a finite number", "duplicate of line 2", "unreadable"):
        assert part in message


def test_skip_bad_goes_on_and_says_how_many(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"not an image")
    manifest = open_rows(table(photos, BAD), photos, skip_bad=True)
    assert manifest.images == (photos / "0.png", photos / "3.png")
    assert len(manifest.skipped) == 6
    assert manifest.lines == (2, 9)


def test_lines_are_counted_across_quoted_line_breaks(photos: Path) -> None:
    path = table(photos, 'image,score,prompt\n0.png,0.5,"two\nlines"\nmissing.png,0.5,x\n')
    with pytest.raises(ManifestError) as caught:
        open_rows(path, photos)
    assert [row.line for row in caught.value.bad] == [4]


def test_a_truncated_image_is_found_by_decoding(photos: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "cut.jpg")
    (photos / "cut.jpg").write_bytes((photos / "cut.jpg").read_bytes()[:1500])
    path = table(photos, "image,score\ncut.jpg,0.5\n0.png,0.4\n")
    assert len(open_rows(path, photos)) == 2
    with pytest.raises(ManifestError, match=r"line 2: cut\.jpg: unreadable"):
        open_rows(path, photos, check="decode")
    with pytest.raises(ValueError, match=r"cut\.jpg is no image"):
        ManifestDataset(open_rows(path, photos))[0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("picture,score\n0.png,1\n", {}, "no image column; it has picture, score"),
        ("image,beauty\n0.png,1\n", {}, "no score column"),
        ("image,score\n", {}, "no rows"),
        ("image,score\n0.png,1\n", {"dimensions": ["sharpnes"]}, "unknown column 'sharpnes'"),
        ("image,score\n0.png,1\n", {"check": "heder"}, "did you mean 'header'"),
        ("image,score\nx.png,1\n", {"skip_bad": True}, "no usable row"),
    ],
)
def test_wrong_tables_are_named(photos: Path, text: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_rows(table(photos, text), photos, **options)


def test_unknown_files_and_names_are_named(photos: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        open_rows(photos / "none.csv")
    (photos / "scores.json").write_text("{}")
    with pytest.raises(ValueError, match=r"must end in one of \.csv"):
        open_rows(photos / "scores.json")
    manifest = open_rows(table(photos, "image,score,split\n0.png,1,train\n"), photos)
    with pytest.raises(ValueError, match="did you mean 'train'"):
        manifest.with_split("trian")
    with pytest.raises(ValueError, match="unknown target"):
        manifest.target("sharpness")
    with pytest.raises(ValueError, match="two different finite ends"):
        Scale(1.0, 1.0)


# --- datasets ------------------------------------------------------------------------------------


@pytest.fixture
def manifest(photos: Path) -> Manifest:
    rows = "".join(f"{index}.png,{index},{(index + 1) % 6}.png,{10 * index}\n" for index in range(6))
    return open_rows(table(photos, "image,score,reference,sharpness\n" + rows), photos)


def test_an_item_is_the_decoded_image_with_normalized_scores(manifest: Manifest) -> None:
    item = ManifestDataset(manifest)[3]
    assert item["image"].shape == (3, 6, 8)
    torch.testing.assert_close(item["image"], load_image(manifest.images[3]))
    want = torch.from_numpy(np.asarray(Image.open(manifest.images[3])).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(item["image"], want)
    assert item["score"].item() == pytest.approx(0.6)
    assert item["dimensions"].tolist() == pytest.approx([0.6])
    assert item["index"] == 3


def test_crops_depend_on_seed_epoch_and_index_alone(manifest: Manifest) -> None:
    transform = Transform(crop=3, random=True, flip=0.5)
    dataset, again = ManifestDataset(manifest, transform, seed=1), ManifestDataset(manifest, transform, seed=1)
    dataset.set_epoch(4)
    torch.randn(100)
    again.set_epoch(4)
    for index in (5, 0, 3):
        torch.testing.assert_close(dataset[index]["image"], again[index]["image"])
    crops = {tuple(dataset[0]["image"].flatten().tolist()) for epoch in range(12) if dataset.set_epoch(epoch) is None}
    assert len(crops) > 5


def test_worker_processes_see_the_epoch(manifest: Manifest) -> None:
    dataset = ManifestDataset(manifest, Transform(crop=3, random=True))
    loader = torch.utils.data.DataLoader(dataset, 6, num_workers=1, persistent_workers=True, collate_fn=collate)
    for epoch in (0, 7):
        dataset.set_epoch(epoch)
        (batch,) = list(loader)
        want = torch.stack([dataset[index]["image"] for index in range(6)])
        torch.testing.assert_close(batch["image"], want)


def test_a_reference_is_cropped_and_flipped_like_its_image(manifest: Manifest, photos: Path) -> None:
    same = open_rows(table(photos, "image,score,reference\n0.png,1,0.png\n1.png,0,1.png\n"), photos)
    dataset = ManifestDataset(same, Transform(crop=3, random=True, flip=0.5), with_reference=True)
    for epoch in range(6):
        dataset.set_epoch(epoch)
        torch.testing.assert_close(dataset[0]["image"], dataset[0]["reference"])


def test_transforms_are_data(manifest: Manifest) -> None:
    def shape(**options: object) -> tuple[int, ...]:
        return tuple(ManifestDataset(manifest, Transform(**options))[0]["image"].shape)  # type: ignore[arg-type]

    assert shape(resize=3) == (3, 3, 4)
    assert shape(resize=(5, 7)) == (3, 5, 7)
    assert shape(crop=4) == (3, 4, 4)
    assert shape(crop=(2, 5), random=True, crops=3) == (3, 3, 2, 5)
    assert shape(crop=10, small="zero") == (3, 10, 10)
    assert shape(crop=10, small="resize") == (3, 10, 10)
    with pytest.raises(ValueError, match="6x8 pixels is smaller than the crop 10x10"):
        shape(crop=10)
    with pytest.raises(ValueError, match=r"crop=\.\.\. and random=True"):
        Transform(crops=2)
    with pytest.raises(ValueError, match="probability"):
        Transform(flip=2.0)


def test_a_center_crop_and_a_zero_border_are_where_they_should_be(manifest: Manifest) -> None:
    whole = ManifestDataset(manifest)[0]["image"]
    crop = ManifestDataset(manifest, Transform(crop=4))[0]["image"]
    torch.testing.assert_close(crop, whole[:, 1:5, 2:6])
    padded = ManifestDataset(manifest, Transform(crop=10, small="zero"))[0]["image"]
    torch.testing.assert_close(padded[:, 2:8, 1:9], whole)
    assert padded.sum() == pytest.approx(whole.sum().item())


def test_images_of_different_sizes_do_not_make_a_batch(manifest: Manifest, photos: Path) -> None:
    picture(photos / "large.png", (9, 9))
    mixed = open_rows(table(photos, "image,score\n0.png,0\nlarge.png,1\n"), photos)
    dataset = ManifestDataset(mixed)
    with pytest.raises(ValueError, match=r"6x8, 9x9"):
        collate([dataset[0], dataset[1]])


# --- splits --------------------------------------------------------------------------------------


def test_no_group_is_split_apart() -> None:
    groups = [f"g{index % 17}" for index in range(200)]
    parts = splits.split_rows(groups, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=3)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(200))
    seen = [{groups[row] for row in rows} for rows in parts.values()]
    assert sum(len(names) for names in seen) == len(set(groups))
    assert [len(rows) / 200 for rows in parts.values()] == pytest.approx([0.7, 0.1, 0.2], abs=0.07)


def test_a_split_depends_on_the_seed_and_not_on_the_order() -> None:
    groups = [f"g{index}" for index in range(30)]
    one = splits.split_rows(groups, {"a": 0.5, "b": 0.5}, seed=0)
    backwards = splits.split_rows(groups[::-1], {"a": 0.5, "b": 0.5}, seed=0)
    assert {groups[row] for row in one["a"]} == {groups[::-1][row] for row in backwards["a"]}
    assert one != splits.split_rows(groups, {"a": 0.5, "b": 0.5}, seed=1)


def test_rows_with_one_reference_stay_together(manifest: Manifest) -> None:
    parts = splits.split_manifest(manifest, {"train": 0.5, "test": 0.5})
    references = [set(part.references or ()) for part in parts.values()]
    assert not references[0] & references[1]


@pytest.mark.parametrize(
    ("groups", "fractions", "message"),
    [
        (["a", "b"], {"x": 0.5, "y": 0.6}, "add up to 1"),
        (["a", "b"], {"x": 1.5, "y": -0.5}, "positive"),
        (["a", "a"], {"x": 0.5, "y": 0.5}, "without a leak"),
    ],
)
def test_impossible_splits_are_refused(groups: list[str], fractions: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        splits.split_rows(groups, fractions)
