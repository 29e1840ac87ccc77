"""What a user installs: builds wheel and sdist, looks at what is in them, and scores a picture where nothing else is.

python -m testing.wheel [--wheel FILE] [--no-install]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LARGEST_MB = 25.0
NOT_INSTALLED = ("tests", "testing", "scorer_recipes", "restoration_recipes", "examples", "benchmarks", "studies")
NEEDED = (
    "iqaloss/integrations/browser/score.html",
    "iqaloss/py.typed",
    "iqaloss/ranking/page/page.html",
    "iqaloss/ranking/page/page.css",
    "iqaloss/ranking/page/page.js",
    "iqaloss/ranking/page/page.svg",
    "iqaloss/report/page/report.html",
    "iqaloss/report/page/report.css",
    "iqaloss/report/page/report.js",
    "iqaloss/scorers/weights/mdiqa-mobile.safetensors",
    "iqaloss/scorers/weights/mdiqa-mobile.md",
)
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
BORROWED = "import os, sys; print(os.pathsep.join(path for path in sys.path if path.endswith('-packages')))"
TRIAL = """
import socket, sys

def refuse(*arguments, **options):
    raise OSError("the network was used")

socket.socket.connect = refuse
import torch, iqaloss
from pathlib import Path
assert Path(iqaloss.__file__).is_relative_to(sys.prefix), iqaloss.__file__
image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
score = iqaloss.create_scorer("mdiqa-mobile")(image).score
assert 0.0 < score.item() < 1.0
print(f"{iqaloss.__version__} from {iqaloss.__file__} gives {score.item():.4f}")
"""


def build(folder: Path) -> tuple[Path, Path]:
    """Builds the wheel and the sdist of this checkout, without the network, and returns them."""
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    source = folder / "source"  # a copy: an old build/ in the checkout would find its way into the wheel
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    subprocess.run([sys.executable, "-c", SDIST, str(folder)], check=True, cwd=source, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = folder.glob("iqaloss-*.whl"), folder.glob("iqaloss-*.tar.gz")
    return wheel, sdist


def complaints(wheel: Path) -> list[str]:
    """What is wrong with the contents of a wheel; nothing, if all is well."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    found = [f"{name} is not for users" for name in sorted(names) if name.split("/")[0] in NOT_INSTALLED]
    found += [f"{name} is missing" for name in NEEDED if name not in names]
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "iqaloss").rglob("*.py")}
    found += [f"{name} is missing" for name in sorted(sources - names)]
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "iqaloss").rglob("*.yaml")}
    found += [f"{name} is missing" for name in sorted(recipes - names)]
    return found + too_large(wheel)


def sdist_complaints(sdist: Path) -> list[str]:
    """What is wrong with the contents of an sdist, from which a wheel must be built; nothing, if all is well."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "iqaloss/_version.py", *NEEDED)
    return [f"{name} is missing" for name in needed if name not in names] + too_large(sdist)


def too_large(file: Path) -> list[str]:
    """Says so where a file is larger than an index of packages should have to hold."""
    megabytes = file.stat().st_size / 1e6
    return [] if megabytes <= LARGEST_MB else [f"it has {megabytes:.1f} MB, {LARGEST_MB:.0f} are allowed"]


def install_and_score(wheel: Path, folder: Path) -> str:
    """Installs the wheel alone in an environment that borrows torch from this one; returns what it says."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*")) / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    borrowed = subprocess.run([sys.executable, "-c", BORROWED], capture_output=True, text=True, check=True).stdout
    (site / "zz_borrowed.pth").write_text(borrowed.strip().replace(":", "\n") + "\n")
    done = subprocess.run([str(python), "-I", "-c", TRIAL], capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(f"the installed package does not score a picture:\n{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    """Builds, looks and tries; stops with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help="a wheel that is there already")
    parser.add_argument("--no-install", action="store_true", help="look at the contents only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel, *others = [given.wheel] if given.wheel else build(Path(folder))
        found = {wheel: complaints(wheel), **{sdist: sdist_complaints(sdist) for sdist in others}}
        for file, wrong in found.items():
            if wrong:
                raise SystemExit(f"{file.name}:\n" + "\n".join(wrong))
            print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB, contents as they should be", flush=True)
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, found)], check=True)
        if not given.no_install:
            print(install_and_score(wheel, Path(folder) / "environment"))


if __name__ == "__main__":
    main()
