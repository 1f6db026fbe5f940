"""The speeds that the paper prints (Table 3, Tables A8 and A9), for a look beside ours: other hardware, other code."""

from dataclasses import dataclass

NETWORKS = ("proposed", "baseline")


@dataclass(frozen=True)
class PaperSpeed:
    """What the paper prints of one GPU.

    Attributes:
        gpu: Its name.
        table: Where in the paper.
        fps: Frames per second at 1920 x 1080 by network.
        largest: Largest resolution with at least 24 FPS by network; empty where the table has none.
    """

    gpu: str
    table: str
    fps: dict[str, float]
    largest: dict[str, str]

    @property
    def ratio(self) -> float:
        """Speed-up of the proposed network over the baseline."""
        return self.fps["proposed"] / self.fps["baseline"]


PAPER_SPEEDS = (
    PaperSpeed("RTX 3090 (server)", "Table 3", {"proposed": 25.8, "baseline": 9.6}, {}),
    PaperSpeed(
        "RTX 3090 (server)",
        "Tables A8, A9",
        {"proposed": 25.7, "baseline": 9.4},
        {"proposed": "1080p", "baseline": "540p"},
    ),
    PaperSpeed(
        "RTX 3070 (desktop)",
        "Tables A8, A9",
        {"proposed": 10.6, "baseline": 3.9},
        {"proposed": "720p", "baseline": "360p"},
    ),
    PaperSpeed(
        "RTX 2080 Super (laptop)",
        "Tables A8, A9",
        {"proposed": 7.6, "baseline": 2.8},
        {"proposed": "540p", "baseline": "240p"},
    ),
)
