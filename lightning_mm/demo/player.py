"""Two videos in step, with a line between them that can be moved."""

from html import escape
from pathlib import Path
from urllib.parse import quote

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"


def player(before: Path, after: Path, size: tuple[int, int], alpha: float) -> str:
    """HTML of the player; ``assets/player.js`` gives it life.

    Args:
        before: The clip.
        after: The magnified clip, of the same length and rate.
        size: Width and height in pixels.
        alpha: Total motion factor, for the label.
    """
    width, height = size
    label = escape(f"magnified, {ALPHA} = {alpha:g}")
    # Small pictures are enlarged, or half a pixel of motion is half a pixel on the screen.
    shown = min(960, max(width, 640))
    return f"""
<div class="mm-player" style="--split: 50%">
  <div class="mm-stage" style="aspect-ratio: {width} / {height}; max-width: {shown}px">
    <video class="mm-before" src="{_address(before)}" muted playsinline loop preload="auto"></video>
    <video class="mm-after" src="{_address(after)}" muted playsinline loop preload="auto"></video>
    <div class="mm-line"></div>
    <span class="mm-label mm-left">input</span><span class="mm-label mm-right">{label}</span>
    <input class="mm-split" type="range" min="0" max="100" step="0.1" value="50" aria-label="input or magnified">
  </div>
  <div class="mm-bar" style="max-width: {shown}px">
    <button class="mm-play" type="button">Pause</button>
    <input class="mm-seek" type="range" min="0" max="1" step="any" value="0" aria-label="time">
    <select class="mm-speed" aria-label="speed">
      <option value="0.1">1/10 speed</option><option value="0.25">1/4 speed</option>
      <option value="0.5">1/2 speed</option><option value="1" selected>full speed</option>
    </select>
    <button class="mm-view" type="button">Side by side</button>
  </div>
</div>"""


def _address(path: Path) -> str:
    return escape(f"/gradio_api/file={quote(str(path))}", quote=True)
