import math

import pytest
import torch

from replica.memory import log_false_match, log_false_negative, log_overlap
from replica.papers.memory.active_dendrites import draw_overlaps, matches, rare_match, segments_of, standard_errors


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_weights_undo_the_tilt():
    """Weighted by its weight, every overlap is as likely as the law says; without a tilt all weights are 1."""
    hits, log_weight = draw_overlaps(100, 30, 12, 9, 200_000, seeded())
    overlap = hits.sum(-1)
    for b in range(6, 12):
        estimate = (log_weight.exp() * (overlap == b)).mean().log()
        assert estimate.item() == pytest.approx(log_overlap(100, 30, 12, b).item(), abs=0.1)
    assert draw_overlaps(100, 30, 12, 2, 50, seeded())[1].abs().max() == 0


@pytest.mark.parametrize(("cells", "active", "synapses", "threshold"), [(2000, 64, 24, 12), (200_000, 2000, 24, 12)])
def test_rare_matches_follow_the_law(cells, active, synapses, threshold):
    draw = seeded(1)
    log10 = rare_match(segments_of(cells, active, synapses, threshold, 1, draw), active, 1000, draw)
    law = log_false_match(cells, active, synapses, threshold).item() / math.log(10)
    assert log10 == pytest.approx(law, abs=0.12)


def test_rare_misses_follow_the_law():
    lost, log_weight = draw_overlaps(300, 60, 30, 19, 20_000, seeded(2))
    estimate = torch.logsumexp(log_weight[lost.sum(-1) > 18], 0) - math.log(20_000)
    assert estimate.item() == pytest.approx(log_false_negative(300, 30, 12, 60).item(), abs=0.1)


def test_counts_lie_within_their_standard_errors_and_a_wrong_law_shows():
    draw = seeded(3)
    found, total = matches(segments_of(400, 128, 24, 12, 200, draw), 128, 300, draw)
    assert total == 60_000
    assert standard_errors([found], total, [log_false_match(400, 128, 24, 12).item()]) < 4
    assert standard_errors([found], total, [log_false_match(400, 128, 24, 13).item()]) > 20
