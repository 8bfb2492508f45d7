"""What training takes, counted by hand in outputs of a layer and numbers of weights."""

from functools import partial

import pytest

from replica.lab.claims import Trial
from replica.lab.problems.credit.step_memory import memory_over_depth
from replica.plasticity import AugLocal, MomentumAuxiliary
from replica.plasticity.local_blocks import lean_averages

trial = Trial(100, "smoke")
OUTPUT = 32 * 16 * 64 * 4  # bytes of a layer's output: 16 channels on 32 digits that are not halved yet
WEIGHTS = 4 * (16 * 1 * 9 + 16) + 11 * 4 * (16 * 16 * 9 + 16) + 4 * (16 * 10 + 10)  # of twelve layers and the head
COUNTER = 4  # bytes of Adam's count of steps, one a parameter


def of_a_dozen(trainer):
    (row,) = memory_over_depth(trial, {"it": trainer})
    assert (row["layers"], row["method"]) == (12, "it")
    return row["step"] * 1e6, (row["all"] - row["step"]) * 1e6


def backprop(net, example):
    return AugLocal(lean_averages(net), example, blocks=1)


def test_what_lasts_is_weights_and_two_moments_each():
    _, lasting = of_a_dozen(backprop)
    assert lasting == pytest.approx(3 * WEIGHTS + 26 * COUNTER)


def test_averages_last_without_moments():
    _, both = of_a_dozen(MomentumAuxiliary)
    _, bias = of_a_dozen(partial(MomentumAuxiliary, average=False))
    assert both - bias == pytest.approx(11 * 4 * (16 * 16 * 9 + 16))  # of the eleven layers that are followed


@pytest.mark.parametrize(
    ("trainer", "alive"),
    [
        (partial(AugLocal, depth=0), 3),  # what comes in, what goes out, the gradient before the ReLU
        (MomentumAuxiliary, 5),  # also the two outputs of the followed layer, or gradients in their place
        (partial(MomentumAuxiliary, average=False), 4),
        (AugLocal, 4),  # the gradient behind the ReLU too, as it is not the same for all positions
    ],
)
def test_a_step_holds_few_outputs_of_a_layer(trainer, alive):
    step, _ = of_a_dozen(trainer)
    assert alive <= step / OUTPUT < alive + 0.5


def test_backpropagation_holds_the_outputs_of_all_layers():
    step, _ = of_a_dozen(backprop)
    # Four layers give 8 × 8 positions, or take them and halve; eight give 4 × 4.
    assert 3 + 9 / 4 <= step / OUTPUT < 3 + 9 / 4 + 1
