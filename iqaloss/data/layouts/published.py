"""Facts about each published set: where its scores lie, what they span, which end is good, what shares content."""

from __future__ import annotations

from iqaloss.data.layouts.distorted import DISTORTED
from iqaloss.data.layouts.generated import GENERATED
from iqaloss.data.layouts.photographs import PHOTOGRAPHS
from iqaloss.data.layouts.record import Layout

PUBLISHED: tuple[Layout, ...] = (*PHOTOGRAPHS, *DISTORTED, *GENERATED)
"""Every known layout."""
