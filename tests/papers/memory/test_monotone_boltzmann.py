"""What the claims of monotone_boltzmann stand on: the task, and couplings to compare with."""

import pytest
import torch

from replica.lab.claims import Trial
from replica.memory import MonotoneBoltzmann
from replica.papers.memory.monotone_boltzmann import SEEN, Task, largest_distance, unrestricted


def test_the_task_hides_pixels_at_random_and_keeps_rows_apart() -> None:
    task = Task(Trial(0, "smoke"))
    assert sorted(torch.cat([task.train, task.test]).tolist()) == list(range(100))
    assert float(task.seen.float().mean()) == pytest.approx(SEEN, abs=0.05)
    assert task.pixels.unique().tolist() == [0, 1]
    torch.testing.assert_close(task.frequencies()[:, 1], task.pixels[task.train].float().mean(0))


def test_distances_and_unrestricted_couplings() -> None:
    assert largest_distance(torch.tensor([[0.1, 0.9], [0.4, 0.2], [0.2, 0.3]])) == pytest.approx(0.7)
    assert largest_distance(torch.zeros(0, 2)) == 0
    draw = torch.Generator().manual_seed(0)
    machine = MonotoneBoltzmann([(3, 2), (2, 4)], rank=4, gain=1.0, generator=draw, dtype=torch.float64)
    coupling = machine.couplings().detach()
    free = unrestricted(coupling, 1.7, machine.layout, draw)
    assert torch.equal(free, free.T)
    assert float(torch.linalg.matrix_norm(free, 2)) == pytest.approx(1.7)
    assert torch.equal(free == 0, coupling == 0)
