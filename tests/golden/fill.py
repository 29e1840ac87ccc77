"""Weights and pictures that are a pure function of a salt, a name and a shape.

Two unrelated implementations that use the same checkpoint keys get the same weights from it, so that the outputs of a
published model can be pinned without its weights. It needs NumPy and torch, and knows no model.

    state = fill_state_dict(module, "public:mdiqa_tech")
    module.load_state_dict(state)
    picture = image("public:mdiqa:a", (2, 3, 224, 224))

The random numbers are those of NumPy's frozen ``RandomState``, drawn in float64 in C order and rounded once to the
tensor's type.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.random import RandomState
from torch import Tensor, nn

# Tables that a model computes: knots of splines, masks, indices.
KEPT = {"grid", "attn_mask", "relative_position_index", "position_ids"}
EMBEDDINGS = (
    "positional_embedding",
    "pos_embed",
    "h_emb",
    "w_emb",
    "class_embedding",
    "cls_token",
    "token_embedding.weight",
    "word_embeddings.weight",
    "position_embeddings.weight",
)
PROJECTIONS = ("proj", "proj_prior", "text_projection")  # used as x @ W: the inputs are the first axis
# Gains of matrices that would else saturate what follows: the splines' range and the softmax of transposed attention.
GAINS = ((("classifier.weight",), 0.8), (("c_q.weight", "c_k.weight"), 0.1), (("c_v.weight",), 0.6))


def fill_state_dict(source: nn.Module | Mapping[str, Tensor], salt: str) -> dict[str, Tensor]:
    """Returns the deterministic values for every tensor of a module or state dict: same keys, shapes and types."""
    state = source.state_dict() if isinstance(source, nn.Module) else source
    return {key: _fill(key, tensor, salt) for key, tensor in state.items()}


def _fill(key: str, tensor: Tensor, salt: str) -> Tensor:
    name = key.rsplit(".", 1)[-1]
    if name == "num_batches_tracked":
        return torch.zeros_like(tensor)
    if name in KEPT or not tensor.is_floating_point():
        return tensor.detach().clone()
    return torch.from_numpy(np.array(fill_array(key, tensor.shape, salt))).to(tensor.dtype)


def fill_array(key: str, shape: Sequence[int], salt: str) -> np.ndarray:
    """Returns the float64 values of one tensor: normal numbers whose spread follows from what the tensor is."""
    shape = tuple(int(side) for side in shape)
    normals = np.asarray(_random(f"{salt}|{key}").standard_normal(shape), dtype=np.float64).reshape(shape)
    name = key.rsplit(".", 1)[-1]
    if not shape:  # CLIP's logit_scale
        return 4.6 + 0.1 * normals
    if name == "running_var":
        return 1.0 + 0.1 * np.abs(normals)
    if name == "running_mean" or key.endswith(EMBEDDINGS):
        return 0.1 * normals
    if name == "relative_position_bias_table":
        return 0.5 * normals
    if name == "spline_scaler":
        return 1.0 + 0.2 * normals
    if name == "spline_weight":
        return normals / math.sqrt(shape[1])
    if name in ("weight1", "weight2"):  # maps over positions
        return 0.7 * normals
    if len(shape) > 1:
        return normals / math.sqrt(shape[0]) if name in PROJECTIONS else normals * _spread(key, shape)
    if "bias" in name:
        return 0.1 * normals
    if key.endswith("bn3.weight"):  # the last norm of a residual block: ResNet's are long, MobileNetV3's short
        return (0.2 if shape[0] >= 256 else 0.8) * (1.0 + 0.1 * normals)
    return 1.0 + 0.1 * normals


def _spread(key: str, shape: tuple[int, ...]) -> float:
    """The standard deviation of a matrix or convolution."""
    inputs = int(np.prod(shape[1:]))
    gain = math.sqrt(2.0) if len(shape) == 4 else 1.25
    if len(shape) != 4 and inputs < 10:  # keeps the small networks that join scores responsive
        gain = 6.0
    gain = next((special for endings, special in GAINS if key.endswith(endings)), gain)
    return gain / math.sqrt(inputs)


def image(salt: str, shape: Sequence[int]) -> Tensor:
    """Returns structured pictures, float32 in [0, 1], of shape (B, C, H, W) or (C, H, W)."""
    *batch, channels, height, width = (int(side) for side in shape)
    rows, columns = np.arange(height, dtype=np.float64)[:, None] / 64.0, np.arange(width, dtype=np.float64) / 64.0
    pictures = np.empty((*(batch or [1]), channels, height, width))
    for number, picture in enumerate(pictures):
        random = _random(f"{salt}|image|{number}")
        brightness, contrast, noise = random.uniform(0.3, 0.7), random.uniform(0.10, 0.30), random.uniform(0.005, 0.08)
        common = _waves(random, rows, columns, 5)
        for channel in picture:
            own = _waves(random, rows, columns, 3)
            grain = random.standard_normal((height, width))
            shift = random.uniform(-0.1, 0.1)
            channel[:] = brightness + shift + contrast * (common + 0.6 * own) + noise * grain
    filled = torch.from_numpy(np.clip(pictures, 0.0, 1.0).astype(np.float32))
    return filled if batch else filled[0]


def _waves(random: RandomState, rows: np.ndarray, columns: np.ndarray, count: int) -> np.ndarray:
    """A sum of plane waves of 0.2 to 8 periods in 64 pixels, with a variance of about one."""
    total = np.zeros((rows.size, columns.size))
    for _ in range(count):
        frequency = math.exp(random.uniform(math.log(0.2), math.log(8.0)))
        angle, phase = random.uniform(0.0, 2.0 * math.pi), random.uniform(0.0, 2.0 * math.pi)
        height = random.uniform(0.5, 1.0)
        along = 2.0 * math.pi * frequency
        total = total + height * np.sin(along * (math.cos(angle) * columns + math.sin(angle) * rows) + phase)
    return total * math.sqrt(2.0 / count) / 0.75


def normal(salt: str, shape: Sequence[int]) -> Tensor:
    """Returns standard normal numbers in float32, for inputs that are not pictures."""
    return torch.from_numpy(_random(f"{salt}|normal").standard_normal(tuple(shape)).astype(np.float32))


def checksum(state: Mapping[str, Tensor]) -> np.ndarray:
    """Returns the sum, the sum of absolute values and the count of a state dict's floating values."""
    total = size = 0.0
    count = 0
    for tensor in (tensor.detach().double() for tensor in state.values() if tensor.is_floating_point()):
        total += float(tensor.sum())
        size += float(tensor.abs().sum())
        count += tensor.numel()
    return np.array([total, size, count], dtype=np.float64)


def _random(text: str) -> RandomState:
    return RandomState(zlib.crc32(text.encode("utf-8")) & 0xFFFFFFFF)
