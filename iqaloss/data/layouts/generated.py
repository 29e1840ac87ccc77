"""Pictures made from prompts."""

from __future__ import annotations

from iqaloss.data.layouts import readers
from iqaloss.data.layouts.record import Layout, ScoreTable, stem
from iqaloss.data.scales import Scale

_FIVE = Scale(0.0, 5.0)
_HUNDRED = Scale(0.0, 100.0)
_AIGIQA20K = {"image": "name", "score": "mos", "prompt": "prompt", "group": "prompt"}


def _agiqa1k_content(name: str) -> str:
    # model_main_second_detail_copy: the two subjects of the prompt.
    return "_".join(stem(name).split("_")[1:3])


GENERATED: tuple[Layout, ...] = (
    Layout(
        "agiqa1k",
        "AGIQA-1K (Zhang et al., ICME workshops 2023)",
        # The published workbook names its last image twice: it is read with skip_bad.
        tables=(
            ScoreTable(
                ("AIGC_MOS_Zscore.xlsx",),
                {"image": "Image", "score": "MOS", "prompt": "Prompt"},
                scale=_FIVE,
            ),
            ScoreTable(("AIGC_all.csv",), {"image": "Image", "score": "Score"}, scale=_FIVE),
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
                scale=_FIVE,
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
    Layout(
        "aigiqa20k",
        "AIGIQA-20K (Li et al., CVPR workshops 2024), published as AIGCQA-30K-Image",
        # The tables of val and test came without scores: they are read once someone has them and asks.
        tables=tuple(
            ScoreTable((f"info_{split}.xlsx",), _AIGIQA20K, scale=_FIVE, split=split, on_request=split != "train")
            for split in ("train", "val", "test")
        ),
        images=("train", "val", "test"),
    ),
)
