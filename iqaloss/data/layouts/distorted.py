"""Pictures distorted on purpose or by restoration, beside their references."""

from __future__ import annotations

from iqaloss.data.layouts import readers
from iqaloss.data.layouts.record import Layout, ScoreTable, stem
from iqaloss.data.scales import Scale

_FIVE = Scale(1.0, 5.0)


def _before_underscore(name: str) -> str:
    return stem(name).split("_", 1)[0].lower()


DISTORTED: tuple[Layout, ...] = (
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
                read=readers.read_names_and_scores,
            ),
        ),
        images=("Train_Dist", "Distortion_[1-4]", "Distortion_[1-4]/Distortion_[1-4]", "Train_Dis"),
        references=("Train_Ref", "train_ref*", "Train_Ref/Train_Ref"),
        reference=lambda name: f"{stem(name).split('_', 1)[0]}.bmp",
        group=_before_underscore,
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
        reference=lambda name: f"{stem(name).split('.', 1)[0]}.png",
        group=lambda name: stem(name).split(".", 1)[0].lower(),
    ),
)
