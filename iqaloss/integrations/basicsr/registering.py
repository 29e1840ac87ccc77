"""Puts what is ours into BasicSR's registries."""

from __future__ import annotations


def register() -> None:
    """Puts the losses, the metric ``calculate_iqa`` and the models into BasicSR's registries.

    Calling it again changes nothing. It first supplies what BasicSR needs of torchvision and current torchvision
    no longer has, so that it may stand before ``import basicsr``.

    Raises:
        ImportError: If BasicSR is not installed, or cannot be imported; the message says what to install.

    Example:
        >>> register()  # doctest: +SKIP
    """
    from iqaloss.integrations.basicsr import losses, metrics, model
    from iqaloss.integrations.basicsr.compat import import_basicsr

    import_basicsr()
    losses.register()
    metrics.register()
    model.register()
