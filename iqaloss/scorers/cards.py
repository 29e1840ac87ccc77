"""What is known of each scorer and of each checkpoint file, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class WeightFile:
    """One published checkpoint file, or a family of interchangeable ones.

    Attributes:
        role: The name under which ``load_official`` takes it.
        patterns: File name patterns (``fnmatch``) by which it is found in a folder; when several files
            together make up the role, each has its own pattern and all of them are needed.
        published_at: Where its authors publish it.
        license: Under which terms.
        optional: Whether the scorer works without it.
        sha256: Digests of the published files, which a given file is compared with; empty when none is known.
        url: The address of the file itself, where a program may fetch it.
    """

    role: str
    patterns: tuple[str, ...]
    published_at: str
    license: str
    optional: bool = False
    sha256: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True)
class EmbeddedFile:
    """A checkpoint that ships inside the package.

    Attributes:
        filename: File name inside ``iqaloss/scorers/weights``.
        sha256: Its digest.
        license: Under which terms it may be used.
        version: Counts the files that shipped under this name.
        taught_by: Families of the panel's judges (``iqaloss.evaluation.panel``) whose distances it learnt from: they
            have no say over a loss that looks with it.
    """

    filename: str
    sha256: str
    license: str
    version: int = 1
    taught_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScorerCard:
    """What is known of a scorer.

    Attributes:
        name: The registered name.
        title: One line for lists.
        paper: Where the model is described.
        code_license: Licence of the published code, from which no line is taken.
        dimensions: Names of the perceptual dimensions, in the model's own order.
        score_range: What the overall score was trained to span: (worst, best). Outputs are not clipped to it.
        mean: Channel means that the input is normalised with, RGB in [0, 1].
        std: Channel standard deviations.
        min_side: Smallest side in pixels that the model takes.
        input_rule: What happens to an image before the network sees it.
        fr_scale: Factor that brings the full-reference distance of typical super-resolution outputs
            to the order of their L1 distance (``benchmarks/fr_scale.py`` measures it).
        fr_reason: Which features full-reference mode compares, and why these.
        dimensions_elsewhere: Dimension names that users may expect but that this model lacks, with the
            reason and the model that has them.
        files: The official checkpoint files.
        embedded: The file inside the package, if there is one.
        needs: Names of optional packages that the model cannot be built without, to the extra that has them.
    """

    name: str
    title: str
    paper: str
    code_license: str
    dimensions: tuple[str, ...] = ()
    score_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    min_side: int = 32
    input_rule: str = "any size, no resize"
    fr_scale: float = 1.0
    fr_reason: str = ""
    dimensions_elsewhere: Mapping[str, str] = field(default_factory=dict)
    files: tuple[WeightFile, ...] = ()
    embedded: EmbeddedFile | None = None
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def taught_by(self) -> tuple[str, ...]:
        """Families of judges that taught the embedded file; none where there is no such file."""
        return () if self.embedded is None else self.embedded.taught_by

    @property
    def versioned(self) -> str:
        """The name, with the version of the embedded file, if there is one: what results say that they are of."""
        return self.name if self.embedded is None else f"{self.name}, version {self.embedded.version}"

    def how_to_get_weights(self) -> str:
        """Explains which files are needed, where they are published and how to pass them."""
        if not self.files:
            return f"{self.name} has no published weights; train it, or pass weights=None for random ones."
        lines = [f"{self.name} needs weights that are not part of this package:"]
        for file in self.files:
            kind = "optional" if file.optional else "needed"
            lines.append(f"  {file.role} ({kind}): {', '.join(file.patterns)}")
            lines.append(f"    published at {file.published_at}; licence: {file.license}")
            if file.url is not None:
                lines.append(f"    iqaloss models get {self.name} fetches it")
        roles = ", ".join(f'"{file.role}": path' for file in self.files if not file.optional)
        lines.append(f'Pass a folder that holds them: create_scorer("{self.name}", weights="folder"),')
        lines.append(f'or the files by role: load_official("{self.name}", {{{roles}}}).')
        lines.append(f'Random weights, to train: create_scorer("{self.name}", weights=None).')
        return "\n".join(lines)
