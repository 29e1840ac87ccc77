"""Small synthetic copies of the published sets, each in the layout in which it is published."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (len(str(path)) % 256, 7, 9)).save(path)


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_excel(path: Path, rows: Sequence[Sequence[Any]], sheet: str = "Sheet1") -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    book.save(path)


def write_matlab(path: Path, **values: Any) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, values)


def cells(names: Sequence[str], *, column: bool = False) -> np.ndarray:
    """A MATLAB cell array of strings."""
    array = np.empty((1, len(names)), dtype=object)
    array[0] = names
    return array.T if column else array


@dataclass(frozen=True)
class Want:
    """What must be read: targets in order, and for some sets groups, references, splits, prompts, dimensions."""

    targets: list[float]
    groups: list[str] | None = None
    references: list[str] | None = None
    splits: list[str] | None = None
    prompts: list[str] | None = None
    stds: list[float] | None = None
    dimensions: dict[str, list[float]] = field(default_factory=dict)


def koniq(root: Path) -> Want:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        picture(root / "1024x768" / name)
    header = ["image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set"]
    rows = [["1.jpg", 0, 0, 0.2, 0.7, 0.1, 105, 77.0, 0.5, "training"]]
    rows += [["2.jpg", 0, 0, 0.4, 0.5, 0.1, 96, 60.0, 0.6, "validation"]]
    rows += [["3.jpg", 0, 0, 0.4, 0.5, 0.1, 96, 20.0, 0.4, "test"]]
    write_csv(root / "koniq10k_distributions_sets.csv", [header, *rows])
    return Want([0.77, 0.6, 0.2], splits=["training", "validation", "test"], stds=[0.125, 0.15, 0.1])


def koniq_scores(root: Path) -> Want:
    picture(root / "512x384" / "1.jpg")
    picture(root / "512x384" / "2.jpg")
    header = ["image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "MOS_zscore"]
    rows = [["1.jpg", 0, 0, 25, 73, 7, 105, 3.8, 0.5, 77.4], ["2.jpg", 0, 3, 45, 47, 1, 96, 3.5, 0.6, 68.7]]
    write_csv(root / "koniq10k_scores_and_distributions.csv", [header, *rows])
    return Want([0.774, 0.687])


def spaq(root: Path) -> Want:
    picture(root / "TestImage" / "00001.jpg")
    picture(root / "TestImage" / "00002.jpg")
    header = ["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"]
    rows = [["00001.jpg", 50.0, 10.0, 20.0, 30.0, 40.0, 50.0], ["00002.jpg", 75, 60, 70, 80, 90, 100]]
    write_excel(root / "Annotations" / "MOS and Image attribute scores.xlsx", [header, *rows])
    return Want([0.5, 0.75], dimensions={"brightness": [0.1, 0.6], "noisiness": [0.4, 0.9], "sharpness": [0.5, 1.0]})


def para(root: Path) -> Want:
    stems = ["aesthetic", "quality", "composition", "color", "dof", "light", "content"]
    columns = [f"{stem}Score" for stem in stems] + ["contentPreference", "willingnessToShare"]
    header = ["sessionId", "imageName", "semantic", *(f"{c}_{part}" for c in columns for part in ("mean", "std"))]
    for split, session, value in (("Train", "session1", 2.0), ("Test", "session2", 4.0)):
        picture(root / "imgs" / session / "iaa_pub1_.jpg")
        scores = [cell for index in range(len(columns)) for cell in (value + index / 10, 0.4)]
        write_csv(root / "annotation" / f"PARA-Giaa{split}.csv", [header, [session, "iaa_pub1_.jpg", "food", *scores]])
    return Want(
        [0.275, 0.775],
        splits=["train", "test"],
        stds=[0.1, 0.1],
        dimensions={"aesthetics": [0.25, 0.75], "color": [0.325, 0.825], "light": [0.375, 0.875]},
    )


def kadid(root: Path) -> Want:
    for name in ("I01.png", "I02.png", "I01_01_01.png", "I01_01_05.png", "I02_03_02.png"):
        picture(root / "images" / name)
    rows = [["I01_01_01.png", "I01.png", 4.57, 0.49], ["I01_01_05.png", "I01.png", 1, 0.25]]
    rows += [["I02_03_02.png", "I02.png", 5, 0]]
    write_csv(root / "dmos.csv", [["dist_img", "ref_img", "dmos", "var"], *rows])
    references = ["I01.png", "I01.png", "I02.png"]
    return Want([0.8925, 0.0, 1.0], groups=references, references=references, stds=[0.7 / 4, 0.5 / 4, 0.0])


def tid(root: Path) -> Want:
    for name in ("I01_01_1.bmp", "i01_02_5.bmp", "I25_24_3.bmp"):
        picture(root / "distorted_images" / name)
    for name in ("I01.BMP", "I25.BMP"):
        picture(root / "reference_images" / name)
    (root / "mos_with_names.txt").write_text("5.4 I01_01_1.bmp\n1.8 I01_02_5.bmp\n0.9 i25_24_3.bmp\n")
    (root / "mos_std.txt").write_text("0.18\n0.09\n0.27\n")
    return Want(
        [0.6, 0.2, 0.1],
        groups=["i01", "i01", "i25"],
        references=["I01.BMP", "I01.BMP", "I25.BMP"],
        stds=[0.02, 0.01, 0.03],
    )


def pipal(root: Path) -> Want:
    for reference, folder in (("A0000", "Distortion_1"), ("A0051", "Distortion_2")):
        picture(root / "Train_Ref" / f"{reference}.bmp")
        lines = []
        for index in range(2):
            picture(root / folder / f"{reference}_00_0{index}.bmp")
            lines.append(f"{reference}_00_0{index}.bmp,{1400 + 100 * index + (200 if folder[-1] == '2' else 0)}.0\n")
        (root / "Train_Label").mkdir(exist_ok=True)
        (root / "Train_Label" / f"{reference}.txt").write_text("".join(lines))
    groups = ["a0000", "a0000", "a0051", "a0051"]
    return Want([0, 1 / 3, 2 / 3, 1], groups=groups, references=[f"{group.upper()}.bmp" for group in groups])


def bid(root: Path) -> Want:
    for number in (1, 2, 586):
        picture(root / f"DatabaseImage{number:04d}.JPG")
    rows = [["Image Number", "Average Subjective Grade"], [1, 2.5], [2, 4.0], [586, 0.5]]
    write_excel(root / "DatabaseGrades.xlsx", rows)
    return Want([0.5, 0.8, 0.1])


def live(root: Path) -> Want:
    folders = ["jp2k", "jpeg", "wn", "gblur", "fastfading"]
    for folder in folders:
        picture(root / folder / "img1.bmp")
        picture(root / folder / "img2.bmp")
    references = ["bikes.bmp", "sailing1.bmp"]
    for name in references:
        picture(root / "refimgs" / name)
    originals = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    dmos = np.arange(10, dtype=float)[None] * 10
    write_matlab(root / "dmos_realigned.mat", dmos_new=dmos, dmos_std=np.full((1, 10), 5.0), orgs=np.array([originals]))
    write_matlab(root / "refnames_all.mat", refnames_all=cells(references * 5))
    kept = [row for row in range(10) if not originals[row]]
    names = [references[row % 2] for row in kept]
    return Want([1 - row / 10 for row in kept], groups=names, references=names, stds=[0.05] * 8)


def live_challenge(root: Path) -> Want:
    names = ["t1.bmp", "t7.bmp", "3.bmp", "4.JPG"]
    for name in names[2:]:
        picture(root / "Images" / name.replace("JPG", "jpg"))
    data = root / "Data"
    write_matlab(data / "AllImages_release.mat", AllImages_release=cells(names, column=True))
    write_matlab(data / "AllMOS_release.mat", AllMOS_release=np.array([[60.0, 70, 40, 90]]))
    write_matlab(data / "AllStdDev_release.mat", AllStdDev_release=np.array([[1.0, 2, 20, 10]]))
    return Want([0.4, 0.9], stds=[0.2, 0.1])


def csiq(root: Path) -> Want:
    for reference in ("1600", "trolley"):
        picture(root / "src_imgs" / f"{reference}.png")
    files = ["awgn/1600.AWGN.1", "jpeg2000/1600.jpeg2000.5", "blur/trolley.BLUR.3", "fnoise/trolley.fnoise.2"]
    for file in files:
        picture(root / "dst_imgs" / f"{file}.png")
    rows: list[list[Any]] = [[None], ["CSIQ", None, "subjective scores"], [None]]
    rows += [[None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]]
    rows += [[None] * 3 + [1600, 1, "noise", 1, 0.05, 0.0], [None] * 3 + [1600, 3, "jpeg 2000", 5, 0.1, 1.0]]
    rows += [[None] * 3 + ["trolley", 5, "blur", 3, 0.1, 0.25], [None] * 3 + ["trolley", 4, "fnoise", 2, 0.1, 0.5]]
    write_excel(root / "csiq.DMOS.xlsx", rows, sheet="all_by_image")
    references = ["1600.png", "1600.png", "trolley.png", "trolley.png"]
    return Want([1.0, 0.0, 0.75, 0.5], groups=references, references=references, stds=[0.05, 0.1, 0.1, 0.1])


def csiq_labels(root: Path) -> Want:
    for reference in ("1600", "trolley"):
        picture(root / "src_imgs" / f"{reference}.png")
    for name in ("1600.AWGN.1.png", "trolley.BLUR.3.png"):
        picture(root / "dst_imgs_all" / name)
    (root / "csiq_label.txt").write_text("1600.AWGN.1.png 0.062\ntrolley.BLUR.3.png 0.5\n")
    return Want([0.938, 0.5], groups=["1600", "trolley"], references=["1600.png", "trolley.png"])


def flive(root: Path) -> Want:
    for name in ("voc_emotic_ava/AVA__149.jpg", "blur_dataset/motion0001.jpg"):
        picture(root / "database" / name)
    rows = [["voc_emotic_ava/AVA__149.jpg", 76.0, 0.1], ["blur_dataset/motion0001.jpg", 50.5, -0.2]]
    write_csv(root / "labels_image.csv", [["name", "mos", "zscore"], *rows])
    return Want([0.76, 0.505])


def uhd(root: Path) -> Want:
    rows = []
    for index, split in enumerate(("training", "validation", "test")):
        picture(root / split / f"{index}.jpg")
        rows.append([f"{index}.jpg", 0.3 + index / 10, split, "none"])
    write_csv(root / "uhd-iqa-metadata.csv", [["image_name", "quality_mos", "set", "subset"], *rows])
    return Want([0.3, 0.4, 0.5], splits=["training", "validation", "test"])


def uhd_challenge(root: Path) -> Want:
    picture(root / "challenge" / "training" / "451.jpg")
    write_csv(root / "uhd-iqa-training-metadata.csv", [["image_name", "quality_mos"], ["451.jpg", 0.7345]])
    return Want([0.7345])


def biq(root: Path) -> Want:
    for name in ("ss01 (1).jpg", "ss03 (2).JPG", "ss02 (9).jpg"):
        picture(root / "Images" / name)
    header = ["Image Name", "MOS", "", ""]
    train = [["ss01 (1).jpg", 0.2874, "", ""], ["ss03 (2).jpg", 0.8471, "", ""]]
    write_csv(root / "Train (Images and MOS).csv", [header, *train])
    write_csv(root / "Test (Images and MOS).csv", [header, ["ss02 (9).jpg", 0.5, "", ""]])
    return Want([0.2874, 0.8471], splits=["train", "train"])


def agiqa1k(root: Path) -> Want:
    names = ["deepai_0_10_0_0.jpg", "dreamStudio_6_2_0_1.jpg"]
    for name in names:
        picture(root / "file" / name)
    rows = [["Image", "Prompt", "MOS"], [names[0], "bird in space", 2.5], [names[1], "kid, driving bike", 4.0]]
    write_excel(root / "AIGC_MOS_Zscore.xlsx", rows)
    return Want([0.5, 0.8], groups=["0_10", "6_2"], prompts=["bird in space", "kid, driving bike"])


def agiqa1k_raw(root: Path) -> Want:
    picture(root / "images" / "deepai_9_6_0_1.jpg")
    write_csv(root / "AIGC_all.csv", [["Image", "Score"], ["deepai_9_6_0_1.jpg", 2.8]])
    return Want([0.56], groups=["9_6"])


def agiqa3k(root: Path) -> Want:
    names = ["AttnGAN_normal_000.jpg", "sdxl_normal_000.jpg", "sdxl_normal_060.jpg"]
    for name in names:
        picture(root / name)
    header = ["name", "prompt", "adj1", "adj2", "style", "mos_quality", "std_quality", "mos_align", "std_align"]
    rows = [[names[0], "statue of a man", "", "", "", 1.0, 0.25, 0.5, 0.6]]
    rows += [[names[1], "statue of a man", "", "", "", 4.0, 0.5, 4.5, 0.5]]
    rows += [[names[2], "artwork with triangles, anime style", "", "", "anime style", 2.0, 0.5, 3.0, 0.5]]
    write_csv(root / "data.csv", [header, *rows])
    prompts = ["statue of a man", "statue of a man", "artwork with triangles, anime style"]
    return Want(
        [0.2, 0.8, 0.4],
        groups=prompts,
        prompts=prompts,
        stds=[0.05, 0.1, 0.1],
        dimensions={"alignment": [0.1, 0.9, 0.6]},
    )


def aigciqa(root: Path) -> Want:
    for row in range(6):
        picture(root / "Image" / "allimg" / f"{row}.png")
    for number, offset in ((1, 0.0), (2, 10.0), (3, 20.0)):
        values = np.arange(6, dtype=float)[:, None] * 10 + offset
        write_matlab(root / "DATA" / "MOS" / f"mosz{number}.mat", MOSz=values)
    write_matlab(root / "DATA" / "STD" / "SD1.mat", SD=np.full((6, 1), 3.0))
    write_excel(
        root / "AIGCIQA2023_Prompts.xlsx", [["No.", "class", "prompt"], [1, "a", "a red cube"], [2, "b", "two"]]
    )
    return Want(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        groups=["prompt 0"] * 4 + ["prompt 1"] * 2,
        prompts=["a red cube"] * 4 + ["two"] * 2,
        dimensions={"authenticity": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "correspondence": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]},
    )


def aigiqa20k(root: Path) -> Want:
    prompts = ["a cyberpunk gopnik", "oil painting of a helmet"]
    for split, number in (("train", 0), ("train", 2), ("val", 25)):
        picture(root / split / f"DALLE2_{number:04d}.png")
    rows = [[f"DALLE2_{number:04d}.png", prompt] for number, prompt in zip((0, 2), prompts)]
    write_excel(root / "info_train.xlsx", [["name", "prompt", "mos"], [*rows[0], 3.5], [*rows[1], 1.0]])
    write_excel(root / "info_val.xlsx", [["name", "prompt"], ["DALLE2_0025.png", "a donkey"]])  # no scores
    return Want([0.7, 0.2], splits=["train"] * 2, prompts=prompts, groups=prompts)


COPIES: list[tuple[str, Callable[[Path], Want]]] = [
    ("koniq10k", koniq),
    ("koniq10k", koniq_scores),
    ("spaq", spaq),
    ("para", para),
    ("kadid10k", kadid),
    ("tid2013", tid),
    ("pipal", pipal),
    ("bid", bid),
    ("live", live),
    ("livec", live_challenge),
    ("csiq", csiq),
    ("csiq", csiq_labels),
    ("flive", flive),
    ("uhdiqa", uhd),
    ("uhdiqa", uhd_challenge),
    ("biq2021", biq),
    ("agiqa1k", agiqa1k),
    ("agiqa1k", agiqa1k_raw),
    ("agiqa3k", agiqa3k),
    ("aigciqa2023", aigciqa),
    ("aigiqa20k", aigiqa20k),
]
