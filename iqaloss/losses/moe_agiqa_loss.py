"""MoE-AGIQA as a loss: prompts say what the images should show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor

from iqaloss.losses.checks import check_count, check_model
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.micro_batches import WHOLE
from iqaloss.losses.options import known_options
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.layers.wordpiece import WordPiece
from iqaloss.scorers.moe_agiqa.model import MoEAGIQA
from iqaloss.scorers.moe_agiqa.semantic import Prompts, PromptTokens


class MoEAGIQALoss(IQALoss):
    """MoE-AGIQA as a loss, with prompts that say what the images should show.

    No-reference: ``1 - s(image, prompt)``; the prompt is tokenised once, while the text encoder attends to the
    image at every call, with gradient. Full-reference: the distance of the visual degradation-aware maps, which
    no prompt changes.

    The full model holds 2.4 GB in float32 (version 1: 2.0 GB). ``precision="bf16"`` runs it in bfloat16; a scorer
    made with ``create_scorer("moe-agiqa", ..., dtype="bf16")`` holds its transformers in half of that. The result
    is float32 in any case. As only the best experts count, the score jumps where two experts' weights nearly tie,
    and bfloat16 may fall on the other side of the jump.

    Args:
        prompts: A text or token ids ``[L]`` for all images, or texts or token ids ``[B, L]``, one for each image
            of a batch; by default the empty text. :meth:`set_prompts` changes them.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        scorer: The registered name, or the scorer.
        tokenizer: What splits texts: a BERT ``vocab.txt``, its folder, or
            ``"hf:google-bert/bert-base-uncased"`` to download one. Token ids and the empty text need none.
        crops: Number of crops of images larger than the visual side's input, instead of the scorer's.
        seed: Takes the crops at the places of this seed, instead of on the scorer's grid.
        **options: The options of :class:`~iqaloss.losses.iqa_loss.IQALoss`.

    Raises:
        TypeError: If the prompts are neither texts nor token ids.
        ValueError: If the scorer is another model's, texts are given without a tokenizer, or token ids do not fit.

    Example:
        >>> import torch
        >>> from iqaloss.scorers.factory import create_tiny
        >>> loss_fn = MoEAGIQALoss(prompts=torch.tensor([1, 7, 9, 2]), scorer=create_tiny("moe-agiqa"))
        >>> loss_fn(torch.rand(2, 3, 64, 64)).shape
        torch.Size([])
    """

    prompt_ids: Tensor
    prompt_mask: Tensor

    def __init__(
        self,
        prompts: Prompts = None,
        mode: str = "nr",
        scorer: str | Scorer = "moe-agiqa",
        *,
        tokenizer: str | Path | WordPiece | None = None,
        crops: int | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(scorer, mode, **known_options(type(self), options))
        check_model("MoEAGIQALoss", self.scorer, MoEAGIQA, "a MoE-AGIQA")
        self.crops = check_count("crops", crops)
        self.seed = check_count("seed", seed, 0)
        self.tokenizer = None if tokenizer is None else WordPiece.of(tokenizer)
        self.register_buffer("prompt_ids", None, persistent=False)
        self.register_buffer("prompt_mask", None, persistent=False)
        self.set_prompts(prompts)

    def set_prompts(self, prompts: Prompts) -> None:
        """Changes the prompts, for the next batch say; takes what the constructor takes."""
        tokens = cast(MoEAGIQA, self.scorer).tokenize(prompts, self.tokenizer)
        if tokens.ids.shape[0] > 1 and self.inputs.tile is not None:
            raise ValueError("tile= scores tiles of images, which prompts for each image do not know; give one for all")
        self.prompt_ids, self.prompt_mask = tokens.ids, tokens.mask

    def conditions(self, rows: slice = WHOLE) -> dict[str, Any]:
        """The prompts and where the crops are."""
        rows = rows if self.prompt_ids.shape[0] > 1 else WHOLE  # one prompt is for all images
        prompts = PromptTokens(self.prompt_ids[rows], self.prompt_mask[rows])
        return {"prompts": prompts, "crops": self.crops, "seed": self.seed}
