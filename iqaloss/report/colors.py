"""The same colours everywhere: told apart by people who see few colours, on a light and on a dark ground."""

from __future__ import annotations

LIGHT = ("#0068a8", "#b84a00", "#00795a", "#8a3c80", "#8f6400", "#3f6fd1", "#a1304e", "#4d4d4d")
DARK = ("#5ab4ee", "#f28f4c", "#3fcfa0", "#d996cf", "#e0b347", "#92b1ff", "#f08ba4", "#bdbdbd")
"""Series by number, on a light and on a dark ground, after Okabe and Ito's order; the ninth is the first again."""

INK, LINE = "#010203", "#010204"
"""What text and grid lines are drawn with in a chart, before they take the page's colours."""


def stand_in(number: int) -> str:
    """Returns the colour that stands for a series until the page puts its own in.

    Example:
        >>> stand_in(0), stand_in(8)
        ('#010210', '#010210')
    """
    return f"#0102{0x10 + number % len(LIGHT):02x}"


def themed(svg: str) -> str:
    """Replaces the colours that stand for others by those of the page, which follow its light or dark ground.

    Example:
        >>> themed("fill: #010210; stroke: #010203")
        'fill: var(--c1); stroke: currentColor'
    """
    svg = svg.replace(INK, "currentColor").replace(LINE, "var(--line)")
    for number in range(len(LIGHT)):
        svg = svg.replace(stand_in(number), f"var(--c{number + 1})")
    return svg


def css() -> str:
    """Returns the colours as CSS variables."""
    light, dark = (" ".join(f"--c{i}: {color};" for i, color in enumerate(each, 1)) for each in (LIGHT, DARK))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
