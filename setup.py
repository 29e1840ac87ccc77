"""Package metadata of iqaloss."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "iqaloss" / "_version.py").read_text().splitlines()
    if line.startswith("__version__")
)

EXTRAS = {
    "clip": ["open_clip_torch>=2.24"],
    # basicsr 1.4.2 cannot be built on Python 3.13; iqaloss supplies what current torchvision removed.
    "basicsr": ['basicsr==1.4.2; python_version < "3.13"', "tensorboard", "rich", "PyYAML"],
    "train": ["accelerate", "tensorboard", "PyYAML", "scipy>=1.14", "rich", "pyarrow", "openpyxl", "h5py"],
    "cli": ["typer", "rich", "PyYAML"],
    "plot": ["matplotlib", "scikit-image"],
    "text": ["tokenizers>=0.19"],
    "serve": ["starlette>=0.40", "uvicorn>=0.30"],
    "tune": ["spandrel>=0.4", "peft>=0.12"],
    "download": ["pooch>=1.6", "requests"],
    "export": ["onnx>=1.16", "onnxscript>=0.2", "onnxruntime>=1.18"],
    "lightning": ["lightning>=2.2"],
    "torchmetrics": ["torchmetrics>=1.3"],
    "search": ["optuna>=3.5"],
    "panel": ["lpips>=0.1.4", "DISTS_pytorch>=0.1"],
}
EXTRAS["docs"] = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"]
EXTRAS["dev"] = [
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "ruff>=0.17,<0.18",
    "mypy>=2,<3",
    "types-PyYAML",
    "import-linter>=2.1",
    "httpx",
    "pooch>=1.6",
    "requests",
    "playwright",
    "nbclient",
    "ipykernel",
    "twine",
    "scipy",
    "scikit-image",
    "matplotlib",
]
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})

setup(
    name="iqaloss",
    version=VERSION,
    description="Frozen image quality models as losses for image restoration, steerable by perceptual dimension",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["iqaloss", "iqaloss.*"]),
    package_data={
        "iqaloss": ["py.typed"],
        "iqaloss.scorers.weights": ["*.safetensors", "*.md", "*.json"],
        "iqaloss.ranking": ["page/*"],
        "iqaloss.report": ["page/*"],
        "iqaloss.integrations": ["browser/*.html"],
        "iqaloss.training": ["**/*.txt", "**/*.yml", "**/*.yaml"],
    },
    include_package_data=False,
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "timm>=1.0.3",
        "kornia>=0.7.3",
        "einops>=0.7",
        "safetensors>=0.4.3",
        "numpy>=1.24",
        "pillow>=10",
        "filelock",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["iqaloss=iqaloss.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
)
