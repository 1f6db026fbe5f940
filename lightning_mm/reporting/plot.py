"""A figure as HTML."""

import plotly.graph_objects as go
from plotly.io import to_html


def plot(figure: go.Figure, identifier: str) -> str:
    """HTML of a figure for a page that has plotly.js, and on which the identifier is unique."""
    config = {"displaylogo": False, "responsive": True, "modeBarButtons": [["toImage", "resetScale2d"]]}
    inner = to_html(figure, config=config, include_plotlyjs=False, full_html=False, div_id=identifier)
    return f'<figure class="plot">{inner}</figure>'
