"""Facts about each published set: where its scores lie, what they span, which end is good, what shares content."""

from __future__ import annotations

from typing import Any

from iqaloss.data.layouts import readers
from iqaloss.data.layouts.record import Layout, ScoreTable
from iqaloss.data.manifest import Scale

_FIVE = Scale(1.0, 5.0)
_HUNDRED = Scale(0.0, 100.0)


def _stem(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _before_underscore(name: str) -> str:
    return _stem(name).split("_", 1)[0].lower()


def _bid_image(number: Any) -> str:
    return f"DatabaseImage{int(number):04d}.JPG"


def _agiqa1k_content(name: str) -> str:
    # model_main_second_detail_copy: the two subjects of the prompt.
    return "_".join(_stem(name).split("_")[1:3])


PUBLISHED: tuple[Layout, ...] = (
    Layout(
        "koniq10k",
        "KonIQ-10k (Hosu et al., IEEE TIP 2020)",
        tables=(
            # The MOS of this table are z-scores brought to 0..100, its SD are those of the 5-point ratings.
            ScoreTable(
                ("koniq10k_distributions_sets.csv", "*/koniq10k_distributions_sets.csv"),
                {"image": "image_name", "score": "MOS", "std": "SD", "split": "set"},
                scale=_HUNDRED,
                std_factor=25.0,
            ),
            ScoreTable(
                ("koniq10k_scores_and_distributions.csv", "*/koniq10k_scores_and_distributions.csv"),
                {"image": "image_name", "score": "MOS_zscore", "std": "SD"},
                scale=_HUNDRED,
                std_factor=25.0,
            ),
        ),
        images=("1024x768", "512x384", "*/1024x768", "*/512x384", "images"),
    ),
    Layout(
        "spaq",
        "SPAQ (Fang et al., CVPR 2020)",
        tables=(
            ScoreTable(
                ("MOS and Image attribute scores.xlsx", "*nnotations/MOS and Image attribute scores.xlsx"),
                {"image": "Image name", "score": "MOS"},
                # Noisiness too is higher for the better image: it correlates .89 with the MOS.
                {
                    "brightness": "Brightness",
                    "colorfulness": "Colorfulness",
                    "contrast": "Contrast",
                    "noisiness": "Noisiness",
                    "sharpness": "Sharpness",
                },
                scale=_HUNDRED,
            ),
        ),
        images=("TestImage", "*/TestImage", "TestImage_512"),
    ),
    Layout(
        "para",
        "PARA (Yang et al., CVPR 2022)",
        tables=tuple(
            ScoreTable(
                (f"annotation/PARA-Giaa{split.title()}.csv", f"PARA-Giaa{split.title()}.csv"),
                {"image": "image", "score": "qualityScore_mean", "std": "qualityScore_std"},
                {name: f"{column}_mean" for name, column in readers.PARA_DIMENSIONS.items()},
                scale=_FIVE,
                split=split,
                read=readers.read_para,
            )
            for split in ("train", "test")
        ),
        images=("imgs",),
    ),
    Layout(
        "kadid10k",
        "KADID-10k (Lin, Hosu, Saupe, QoMEX 2019)",
        # The column is called dmos, yet 5 is the best.
        tables=(
            ScoreTable(
                ("dmos.csv", "kadid10k/dmos.csv"),
                {"image": "dist_img", "score": "dmos", "variance": "var", "reference": "ref_img", "group": "ref_img"},
                scale=_FIVE,
            ),
        ),
        images=("images", "distorted_images", "kadid10k/images"),
        references=("images", "reference_images", "kadid10k/images"),
    ),
    Layout(
        "tid2013",
        "TID2013 (Ponomarenko et al., Signal Processing: Image Communication 2015)",
        tables=(
            ScoreTable(
                ("mos_with_names.txt",),
                {"image": "image", "score": "score", "std": "std"},
                scale=Scale(0.0, 9.0),
                read=readers.read_tid2013,
            ),
        ),
        images=("distorted_images",),
        references=("reference_images",),
        reference=lambda name: f"{_before_underscore(name)}.bmp",
        group=_before_underscore,
    ),
    Layout(
        "pipal",
        "PIPAL (Gu et al., ECCV 2020)",
        # Elo scores have no fixed range: the observed one is taken.
        tables=(
            ScoreTable(
                ("Train_Label/*.txt", "Train_Label/Train_Label/*.txt", "train_label*.txt"),
                {"image": "image", "score": "score"},
                read=readers.read_pipal,
            ),
        ),
        images=("Train_Dist", "Distortion_[1-4]", "Distortion_[1-4]/Distortion_[1-4]", "Train_Dis"),
        references=("Train_Ref", "train_ref*", "Train_Ref/Train_Ref"),
        reference=lambda name: f"{_stem(name).split('_', 1)[0]}.bmp",
        group=_before_underscore,
    ),
    Layout(
        "bid",
        "BID (Ciancio et al., IEEE TIP 2011)",
        tables=(
            ScoreTable(
                ("DatabaseGrades.xlsx",),
                {"image": "Image Number", "score": "Average Subjective Grade"},
                scale=Scale(0.0, 5.0),
                image=_bid_image,
            ),
        ),
        images=(".", "ImageDatabase", "images"),
    ),
    Layout(
        "live",
        "LIVE, release 2 (Sheikh, Sabir, Bovik, IEEE TIP 2006; realigned DMOS)",
        tables=(
            ScoreTable(
                ("dmos_realigned.mat",),
                {"image": "image", "score": "score", "std": "std", "reference": "reference", "group": "reference"},
                scale=Scale(100.0, 0.0),
                read=readers.read_live,
            ),
        ),
        images=(".",),
        references=("refimgs",),
    ),
    Layout(
        "livec",
        "LIVE In the Wild Challenge (Ghadiyaram and Bovik, IEEE TIP 2016)",
        tables=(
            ScoreTable(
                ("Data/AllMOS_release.mat", "ChallengeDB_release/Data/AllMOS_release.mat"),
                {"image": "image", "score": "score", "std": "std"},
                scale=_HUNDRED,
                read=readers.read_live_challenge,
            ),
        ),
        images=("Images", "ChallengeDB_release/Images"),
    ),
    Layout(
        "csiq",
        "CSIQ (Larson and Chandler, J. Electronic Imaging 2010)",
        tables=(
            ScoreTable(
                ("csiq.DMOS.xlsx",),
                {"image": "image", "score": "dmos", "std": "dmos_std", "reference": "reference", "group": "reference"},
                scale=Scale(1.0, 0.0),
                read=readers.read_csiq,
            ),
            ScoreTable(
                ("csiq_label.txt",),
                {"image": "image", "score": "score"},
                scale=Scale(1.0, 0.0),
                read=readers.read_names_and_scores,
            ),
        ),
        images=("dst_imgs/*", "dst_imgs_all", "dst_imgs"),
        references=("src_imgs",),
        reference=lambda name: f"{_stem(name).split('.', 1)[0]}.png",
        group=lambda name: _stem(name).split(".", 1)[0].lower(),
    ),
    Layout(
        "uhdiqa",
        "UHD-IQA (Hosu et al., ECCV workshops 2024)",
        tables=(
            ScoreTable(
                ("uhd-iqa-metadata.csv",),
                {"image": "image_name", "score": "quality_mos", "split": "set"},
                scale=Scale(0.0, 1.0),
            ),
            ScoreTable(
                ("uhd-iqa-training-metadata.csv",),
                {"image": "image_name", "score": "quality_mos"},
                scale=Scale(0.0, 1.0),
            ),
        ),
        images=("training", "validation", "test", "challenge/training", "challenge/validation", "database", "images"),
    ),
    Layout(
        "biq2021",
        "BIQ2021 (Ahmed and Asif, J. Electronic Imaging 2022)",
        tables=tuple(
            ScoreTable(
                (f"{split.title()} (Images and MOS).csv",),
                {"image": "Image Name", "score": "MOS"},
                scale=Scale(0.0, 1.0),
                split=split,
                on_request=split == "test",
            )
            for split in ("train", "test")
        ),
        images=("Images",),
    ),
    Layout(
        "agiqa1k",
        "AGIQA-1K (Zhang et al., ICME workshops 2023)",
        # The published workbook names its last image twice: it is read with skip_bad.
        tables=(
            ScoreTable(
                ("AIGC_MOS_Zscore.xlsx",),
                {"image": "Image", "score": "MOS", "prompt": "Prompt"},
                scale=Scale(0.0, 5.0),
            ),
            ScoreTable(("AIGC_all.csv",), {"image": "Image", "score": "Score"}, scale=Scale(0.0, 5.0)),
        ),
        images=("file", "images", "."),
        group=_agiqa1k_content,
    ),
    Layout(
        "agiqa3k",
        "AGIQA-3K (Li et al., IEEE TCSVT 2024)",
        tables=(
            ScoreTable(
                ("data.csv",),
                {"image": "name", "score": "mos_quality", "std": "std_quality", "prompt": "prompt", "group": "prompt"},
                {"alignment": "mos_align"},
                scale=Scale(0.0, 5.0),
            ),
        ),
        images=("file", "images", "image", "AGIQA-3K", "."),
    ),
    Layout(
        "aigciqa2023",
        "AIGCIQA2023 (Wang et al., CICAI 2023)",
        tables=(
            ScoreTable(
                ("DATA/MOS/mosz1.mat",),
                {"image": "image", "score": "score", "std": "std", "prompt": "prompt", "group": "group"},
                {"authenticity": "authenticity", "correspondence": "correspondence"},
                scale=_HUNDRED,
                read=readers.read_aigciqa2023,
            ),
        ),
        images=("Image/allimg", "Image"),
    ),
)
"""Every known layout."""
