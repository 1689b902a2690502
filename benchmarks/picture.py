"""The picture above the table: how much of its limit each figure uses. Plain SVG, which follows the reader's light or dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.measure import Figure

_LIMIT = re.compile(r"(?P<side>[≥≤<>])\s*(?P<limit>[\d,.]+)")
_ROW, _LABEL, _BAR, _END = (
    22,
    500,
    300,
    110,
)  # pixels: a line's height; the widths of a name, of a bar at its limit, of the rest
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .end { fill: #59636e } .limit { stroke: #59636e; stroke-dasharray: 3 3 }
.met { fill: #2f7d5b } .missed { fill: #c2410c }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .end { fill: #9198a1 } .limit { stroke: #9198a1 } .met { fill: #4cae84 } .missed { fill: #f0883e }
}
"""


def used(figure: Figure) -> float | None:
    """The part of its limit that a figure uses: 1 is the limit, less is better. None for one without a limit."""
    found = _LIMIT.search(figure.wanted)
    if found is None:
        return None
    limit = float(found["limit"].replace(",", ""))
    in_units = figure.unit in figure.wanted or not figure.yardstick_value
    value = figure.value if in_units else figure.value / (figure.yardstick_value or 1)
    return value / limit if found["side"] in "≤<" else limit / value


def picture(figures: Sequence[Figure]) -> str:
    """A bar for each figure that has a limit, in the order of the table; the line is the limit."""
    bars = [(figure, share) for figure in figures if (share := used(figure)) is not None]
    width, height = _LABEL + _BAR + _END, _ROW * len(bars) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="How much of its limit each figure uses"><style>{_STYLE}</style>'
    ]
    for index, (figure, share) in enumerate(bars):
        middle = 30 + _ROW * index
        kind = "met" if figure.met else "missed"
        said = f"{share:.0%}" if share >= 0.01 else "< 1%"
        length = max(2.0, min(share, 1.2) * _BAR)
        parts.append(
            f'<text x="{_LABEL - 10}" y="{middle + 12}" text-anchor="end">{escape(figure.name)}</text>'
            f'<rect class="{kind}" x="{_LABEL}" y="{middle + 1}" width="{length:.1f}" height="{_ROW - 7}" rx="2"/>'
            f'<text class="end" x="{width - 6}" y="{middle + 12}" text-anchor="end">{escape(said)}</text>'
        )
    edge = _LABEL + _BAR
    parts.append(
        f'<line class="limit" x1="{edge}" x2="{edge}" y1="22" y2="{height - 4}"/>'
        f'<text class="end" x="{edge}" y="16" text-anchor="middle">its limit</text></svg>\n'
    )
    return "\n".join(parts)
