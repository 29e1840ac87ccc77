"""Which share of the work is ours when several processes score together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """This process among those that were started together (``torchrun``, ``accelerate launch``).

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        local: Number of this process on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank must lie in 0..{self.world - 1}, got {self.rank}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Ranks:
        """Reads ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``; one process where they are not set.

        Example:
            >>> Ranks.from_environment({"RANK": "1", "WORLD_SIZE": "4"})
            Ranks(rank=1, world=4, local=1)
        """
        given = os.environ if environment is None else environment
        rank = int(given.get("RANK", "0"))
        return cls(rank, int(given.get("WORLD_SIZE", "1")), int(given.get("LOCAL_RANK", rank)))

    def mine(self, unit: int) -> bool:
        """Whether a unit of work is this process's."""
        return unit % self.world == self.rank

    def wait(self) -> None:
        """Returns when every process has come here; at once for a single one."""
        if self.world == 1:
            return
        from datetime import timedelta

        from torch import distributed

        started = not distributed.is_initialized()
        if started:
            # A process may have much more to do than another.
            distributed.init_process_group("gloo", rank=self.rank, world_size=self.world, timeout=timedelta(days=2))
        distributed.barrier()
        if started:
            distributed.destroy_process_group()

    def device(self, name: str | None = None) -> str:
        """Returns the named device, or by default this process's GPU, or the CPU where there is none.

        Example:
            >>> Ranks(1, 2, 1).device("cuda")
            'cuda:1'
        """
        import torch

        if name == "cuda" or (name is None and torch.cuda.is_available()):
            return f"cuda:{self.local % max(1, torch.cuda.device_count() or self.world)}"
        return "cpu" if name is None else name
