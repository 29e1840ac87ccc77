"""Photographs with the faults that they were taken with."""

from __future__ import annotations

from typing import Any

from iqaloss.data.layouts import readers
from iqaloss.data.layouts.record import Layout, ScoreTable
from iqaloss.data.scales import Scale

_FIVE = Scale(1.0, 5.0)
_HUNDRED = Scale(0.0, 100.0)


def _bid_image(number: Any) -> str:
    return f"DatabaseImage{int(number):04d}.JPG"


PHOTOGRAPHS: tuple[Layout, ...] = (
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
        "flive",
        "FLIVE, LIVE-FB (Ying et al., CVPR 2020)",
        tables=(
            ScoreTable(
                ("labels_image.csv", "*/labels_image.csv"),
                {"image": "name", "score": "mos"},
                scale=_HUNDRED,
            ),
        ),
        images=("database", "*/database", "."),
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
)
