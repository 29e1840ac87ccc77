"""Options and fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from iqaloss.scorers import checkpoints
from testing.cases import tiny
from testing.golden import Golden
from testing.tolerances import DTYPES, TOLERANCES, Tolerance

ROOT = Path(__file__).parent.parent
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("iqaloss")
    group.addoption("--device", default="cpu", help="where the laws run: cpu, cuda, cuda:1, mps; default cpu")
    group.addoption("--dtype", default="float32", choices=list(DTYPES), help="what they run in; default float32")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--device")
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise pytest.UsageError(f"--device {name} is not available: {str(error).splitlines()[0]}") from error


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the laws run."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """What the laws run in: the type of pictures and of the scorer's weights."""
    return DTYPES[request.config.getoption("--dtype")]


@pytest.fixture(scope="session")
def tolerance(dtype: torch.dtype) -> Tolerance:
    """How far apart two ways to the same value may end in this type."""
    return TOLERANCES[dtype]


@pytest.fixture(scope="session")
def golden() -> Golden:
    """The recorded outputs of the published models."""
    return Golden()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small mdiqa-mobile, for what takes a scorer by its file."""
    return checkpoints.save(tiny("mdiqa-mobile"), tmp_path_factory.mktemp("scorer") / "tiny.safetensors")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photographs and votes that may not be passed on with the code."""
    folder = Path(os.environ.get("IQALOSS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs data that may not be passed on, which are not at {folder}; set IQALOSS_SHARED")
    return folder


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names a lambda by its argument: its address would give each worker of a parallel run other names."""
    return argname if getattr(val, "__name__", "") == "<lambda>" else None
