import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.kernels.learning_rate_transfer import DepthMup, of, paper, sharpness_by_width


def test_judges_read_the_drift_of_each_form():
    rows = {
        "method": ["μP", "NTK", "standard"], "drift": [0.2, 0.9, 3.0], "regret": [0.01, 0.1, 1.0],
        "censored": [0.0, 0.0, 0.25], "loss": [0.3, 0.4, 0.5],
    }  # fmt: skip
    widths = paper.claims["width_transfer"].measures(pd.DataFrame(rows))
    assert widths == pytest.approx(
        {"drift": 0.2, "less_than_ntk": 0.7, "regret": 0.01, "drift_of_standard": 3.0, "censored": 0.25, "loss": 0.3}
    )
    rows["method"] = ["depth-μP", "μP", "other"]
    depths = paper.claims["depth_transfer"].measures(pd.DataFrame(rows))
    assert (depths["drift"], depths["drift_without"], depths["loss"]) == (0.2, 0.9, 0.3)


def test_judge_finds_planted_gaps_and_rises():
    """Sharpness e^(rise · share of steps): under μP off by 10 % at each width, in the tangent form rising less when wide."""
    rows = []
    for form, width, rise, factor in [
        ("mup", 64, 1.0, 1.0),
        ("mup", 512, 1.0, 1.1),
        ("ntk", 64, 1.0, 1.0),
        ("ntk", 512, 0.2, 1.0),
    ]:
        for step in range(0, 50, 10):
            share = step / 40
            rows.append({"form": form, "width": width, "step": step, "loss": 2.0 - share * (1.5 if form == "mup" else 1.0),
                         "sharpness": 0.5 * factor * np.exp(rise * share)})  # fmt: skip
    found = paper.claims["sharpness_over_time"].measures(pd.DataFrame(rows))
    assert found["gap"] == pytest.approx(np.log(1.1))
    assert found["gap_of_ntk"] == pytest.approx(0.4)
    assert found["closer_than_ntk"] == pytest.approx(np.log(0.4 / np.log(1.1)))
    assert (found["rise"], found["rise_over_ntk"], found["rise_at_narrowest"]) == pytest.approx((1.0, 0.8, 1.0))
    assert found["rate_times_sharpness"] == pytest.approx(0.55)
    assert found["least_loss_removed"] == pytest.approx(0.5)


def test_forms_are_counted_from_the_smallest_network():
    """There all learn at the swept rate; beyond, only μP's rates and standard layers' grow."""
    for form, expected in (("mup", [8, 8, 8]), ("ntk", [1, 1, 1]), ("standard", [1, 8, 8])):
        make, settings = of(form)
        for width, scales in ((64, [1, 1, 1]), (512, expected)):
            net, groups = make(Trial(0), **settings).build(5, 3, width, 2, torch.Generator().manual_seed(0), "sgd")
            assert [group["lr_scale"] for group in groups] == pytest.approx(scales)
            assert not net(torch.ones(2, 5)).any()
    _, groups = DepthMup(Trial(0), base_width=16, base_depth=1).build(5, 3, 64, 4, torch.Generator(), "adam")
    assert [group["lr_scale"] for group in groups] == pytest.approx([1, 1 / 4, 1])


def test_forms_are_one_at_the_narrowest_network_and_no_size_decides_the_start():
    table = pd.DataFrame(sharpness_by_width(Trial(0, "smoke"))).set_index(["form", "width", "step"]).sort_index()
    narrow, wide = table.index.get_level_values("width").min(), table.index.get_level_values("width").max()
    pd.testing.assert_frame_equal(table.loc["mup", narrow], table.loc["ntk", narrow])
    assert table["loss"].xs(0, level="step").to_numpy() == pytest.approx(np.log(10))
    assert table.loc[("mup", wide, 4), "loss"] != pytest.approx(table.loc[("ntk", wide, 4), "loss"], rel=1e-3)
