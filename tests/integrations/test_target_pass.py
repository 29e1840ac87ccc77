"""What a full-reference network computes of the target alone is found, kept and given back, and nothing else is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from iqaloss.integrations.pyiqa.target_pass import find_target_calls, record, replayed


class Distance(nn.Module):
    """A distance of features, with a head that sees both; ``what`` makes its target branch odd."""

    def __init__(self, what: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.head = nn.Conv2d(8, 1, 1)
        self.what = what
        self.requires_grad_(False).eval()

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        if self.what == "random crop":
            pred, target = (image.roll(int(torch.randint(5, ())), -1) for image in (pred, target))
        first = self.trunk(pred.detach() if self.what == "detached" else pred)
        second = self.trunk(target)
        if self.what == "in place":
            second.relu_()
        return (pred.mean((1, 2, 3)) + self.head(torch.cat([first, second], 1)).mean((1, 2, 3))).abs()


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 12, 12, generator=generator).requires_grad_(), torch.rand(2, 3, 12, 12, generator=generator)


def test_the_targets_pass_is_kept_whole_and_the_gradient_is_the_same() -> None:
    net, (pred, target) = Distance(), images()
    calls = find_target_calls(net, target)
    assert [(call.module, call.turn) for call in calls] == [("trunk", 1)]
    kept = record(net, calls, target)
    ran: list[int] = []
    net.trunk[0].register_forward_hook(lambda *_: ran.append(1))
    (want,) = torch.autograd.grad(net(pred, target).sum(), pred)
    assert len(ran) == 2
    with replayed(net, calls, kept):
        (got,) = torch.autograd.grad(net(pred, target).sum(), pred)
    assert len(ran) == 3
    torch.testing.assert_close(got, want)
    assert "forward" not in net.trunk.__dict__


def test_a_detached_prediction_is_not_taken_for_the_target() -> None:
    calls = find_target_calls(Distance("detached"), images()[1])
    assert [(call.module, call.turn) for call in calls] == [("trunk", 1)]


@pytest.mark.parametrize("what", ["random crop", "in place"])
def test_what_differs_from_call_to_call_or_is_changed_later_is_not_kept(what: str) -> None:
    assert find_target_calls(Distance(what), images()[1]) == ()


def test_an_error_leaves_the_network_as_it_was() -> None:
    net, (pred, target) = Distance(), images()
    calls = find_target_calls(net, target)
    with pytest.raises(KeyError), replayed(net, calls, {}):
        net(pred, target)
    assert "forward" not in net.trunk.__dict__
