"""A scorer returns exactly what a request names."""

from __future__ import annotations

import pytest
import torch

from iqaloss import list_scorers
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from testing.cases import tiny

IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def names(output: ScoreOutput) -> tuple[bool, list[str], list[str], list[str]]:
    return output.overall is not None, list(output.dimensions), list(output.features), list(output.extras)


def asked(scorer: Scorer, request: Request) -> tuple[bool, list[str], list[str], list[str]]:
    whole = scorer.resolve(request)
    return whole.score, list(whole.dimensions or ()), list(whole.features or ()), list(whole.extras or ())


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", list_scorers())
def test_the_output_has_what_was_asked_for_and_nothing_else_in_the_models_order(name: str, folded: bool) -> None:
    scorer = tiny(name)
    scorer = scorer.fold() if folded else scorer
    everything = scorer(IMAGE)
    assert names(everything) == (
        True,
        list(scorer.dimension_names),
        list(scorer.feature_names),
        list(scorer.extra_names),
    )
    requests = [Request(), Request(score=True)]
    requests += [Request(dimensions=(each,)) for each in scorer.dimension_names]
    requests += [Request(features=(each,)) for each in scorer.feature_names]
    requests += [Request(extras=(each,)) for each in scorer.extra_names]
    requests.append(Request(dimensions=scorer.dimension_names[::-1], features=scorer.feature_names[::-1]))
    for request in requests:
        output = scorer(IMAGE, request)
        assert names(output) == asked(scorer, request)
        for kind in ("dimensions", "features", "extras"):
            for key, value in getattr(output, kind).items():
                torch.testing.assert_close(value, getattr(everything, kind)[key], rtol=1e-4, atol=1e-5)
