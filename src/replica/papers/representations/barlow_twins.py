"""Zbontar, Jing, Misra, LeCun, Deny 2021: Barlow Twins: Self-Supervised Learning via Redundancy Reduction.

Two views of an image through one network, outputs made to agree and not to repeat: do features keep from collapse, is it the
redundancy term that keeps them, and do wide outputs help?
"""

import numpy as np

from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.studies import Arena, dots
from replica.papers.baselines.pretext import usual_views
from replica.representations import BarlowTwins

paper = Paper("barlow_twins")
WIDE, NARROW = 256, 16
ROOF = "labels, all"


@paper.entry(
    "pretext",
    name="barlow-twins",
    space={
        "learning_rate": LogUniform(3e-4, 1e-2), "strength": Uniform(0.25, 2.0), "weight": LogUniform(1e-3, 0.2)
    },
)  # fmt: skip
def barlow_twins(
    trial: Trial,
    learning_rate: float = 3e-3,
    strength: float = 1.0,
    weight: float = 0.02,
    batch: int = 128,
    width: int = WIDE,
) -> BarlowTwins:
    """Outputs of two views that agree and do not repeat."""
    return BarlowTwins(
        usual_views(strength), weight=weight, projector=(width, width, width), batch=batch, learning_rate=learning_rate
    )


DIGITS = Arena(
    "pretext",
    data="digits",
    epochs=20,
    width=8,
    choose={"learning_rate": (0.001, 0.003), "weight": (0.005, 0.05)},
    smoke={"width": 2, "dim": 8},
    full={"data": "mnist", "width": 32, "epochs": 100, "train": 0},
)
twins = DIGITS.compare(
    {
        "twins": (barlow_twins, {"width": WIDE}),
        "invariance alone": (barlow_twins, {"width": WIDE, "weight": 0.0}),
        "narrow twins": (barlow_twins, {"width": NARROW}),
        "untrained": "untrained",
        "components of pixels": "pca",
        ROOF: "supervised",
    }
)
draw = dots("method", "few", xlabel="objective", ylabel="probe accuracy, 10 labels a class (%)", percent=True)


def controls(table):
    """The gates of every claim, and probe accuracies and logarithms of effective ranks by method."""
    rows = table.set_index("method")
    accuracy, rank = rows["few"], np.log(rows["rank"])
    roof = accuracy[ROOF]
    return {"headroom": roof - accuracy["untrained"], "accuracy_of_roof": roof}, accuracy, rank


@paper.claim(twins, figure=draw)
def avoids_collapse(table):
    """How much more features tell than before training."""
    gates, accuracy, rank = controls(table)
    return gates | {
        "gain_over_untrained": accuracy["twins"] - accuracy["untrained"],
        "gain_over_components": accuracy["twins"] - accuracy["components of pixels"],
        "log_rank_over_invariance_alone": rank["twins"] - rank["invariance alone"],
    }


@paper.claim(twins, figure=draw)
def redundancy_reduction(table):
    """How much more features tell, and how many more directions they use, than with the invariance term alone."""
    gates, accuracy, rank = controls(table)
    return gates | {
        "gain_over_invariance_alone": accuracy["twins"] - accuracy["invariance alone"],
        "log_rank_over_invariance_alone": rank["twins"] - rank["invariance alone"],
        "gain_of_invariance_alone_over_untrained": accuracy["invariance alone"] - accuracy["untrained"],
    }


@paper.claim(twins, figure=draw)
def wide_outputs(table):
    """How much more features tell behind a wide projector than behind a narrow one."""
    gates, accuracy, rank = controls(table)
    return gates | {
        "gain_of_wide": accuracy["twins"] - accuracy["narrow twins"],
        "log_rank_over_narrow": rank["twins"] - rank["narrow twins"],
    }
