"""What is trained, for each model: which parameters learn from which output by which loss."""

from __future__ import annotations

import importlib

from iqaloss._errors import unknown_name
from iqaloss.training.tasks.base import Task, registered

_BUILT_IN = ("score", "mdiqa", "lar_iqa", "pmt_iqa", "moe_agiqa", "sr_iqa")


def task_class(name: str) -> type[Task]:
    """Returns the task of a name; raises ``ValueError`` with the nearest name for an unknown one."""
    for module in _BUILT_IN:
        importlib.import_module(f"iqaloss.training.tasks.{module}")
    tasks = registered()
    if name not in tasks:
        raise ValueError(unknown_name("task", name, sorted(tasks)))
    return tasks[name]
