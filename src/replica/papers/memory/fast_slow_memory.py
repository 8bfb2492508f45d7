"""Fernando, Denman, Sridharan, Fookes 2020: Fast & Slow Learning, synthetic gradients in neural memory controllers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from replica.data import Images, digits, omniglot
from replica.data.sets.few_shot_streams import FewShotStreams, Streams, with_rotations
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.lab.studies.figures import finish, spread, styles
from replica.memory import ControllerState, MemoryController, StateFeedback, cut, decoupled_backward
from replica.training import mlp

paper = Paper("fast_slow_memory")

LEARNING_RATES = {"decoupled": 1e-3, "coupled": 1e-2, "truncated": 1e-3}
FEEDBACK_RATE = 1e-2
CHUNK = 4
HIDDEN = 32
EMBEDDING = 32
SLOTS = 8


class StreamLearner(nn.Module):
    """An image encoder and a memory controller: reads images, predicts their labels, is then shown them."""

    def __init__(self, pixels: int, ways: int, generator: torch.Generator) -> None:
        super().__init__()
        self.ways = ways
        self.encoder = mlp((pixels, 64, EMBEDDING), generator=generator)
        self.controller = MemoryController(EMBEDDING, ways, hidden=HIDDEN, slots=SLOTS, generator=generator)

    def forward(
        self,
        images: Float[Tensor, "batch time pixels"],
        labels: Int[Tensor, "batch time"],
        state: ControllerState | None = None,
    ) -> tuple[Float[Tensor, "batch time ways"], ControllerState]:
        """Logits of each image's label before it is shown, and the state after it is."""
        return self.controller(self.encoder(images), one_hot(labels, self.ways).to(images.dtype), state)


def make_feedback(generator: torch.Generator) -> StateFeedback:
    """The feedback path: one linear prediction each for the read controller, the write controller and the memory's rows."""
    row = 2 * 32  # key and value, as MemoryController has them by default
    return StateFeedback((2 * HIDDEN, 2 * HIDDEN, row), context_dim=1, hidden=0, generator=generator)


class Training:
    """One network in training on streams, batch by batch.

    Args:
        learner: the network.
        rate: its learning rate.
        chunk: images between two updates; the whole stream's length for coupled training.
        feedback: predicts the gradient from a chunk's end on, and is trained itself; None cuts it there.
        feedback_descent: optimiser of the feedback.

    Attributes:
        feedback_errors: error of the feedback at each cut so far (see `SyntheticGradient.error`).
    """

    def __init__(
        self,
        learner: StreamLearner,
        rate: float,
        chunk: int,
        feedback: StateFeedback | None = None,
        feedback_descent: torch.optim.Optimizer | None = None,
    ) -> None:
        self.learner = learner
        self.descent = torch.optim.Adam(learner.parameters(), rate, fused=True)
        self.chunk = chunk
        self.feedback = feedback
        self.feedback_descent = feedback_descent
        self.feedback_errors: list[Tensor] = []

    def batch(self, images: Float[Tensor, "batch time pixels"], labels: Int[Tensor, "batch time"]) -> None:
        """Learns from a batch of streams, with an update after each chunk."""
        batch, length = labels.shape
        state = self.learner.controller.initial_state(batch)
        for begin in range(0, length, self.chunk):
            end = min(length, begin + self.chunk)
            start = cut(state[:3])
            logits, state = self.learner(images[:, begin:end], labels[:, begin:end], state._replace(**_named(start)))
            losses = cross_entropy(logits.mT, labels[:, begin:end], reduction="none").sum(1) / length
            self.descent.zero_grad()
            predicted = None
            if self.feedback is not None and end < length:
                with torch.no_grad():
                    predicted = self.feedback(state[:3], _time(labels, end))
            targets = decoupled_backward(losses, start, state[:3], predicted)
            nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
            self.descent.step()
            if self.feedback is not None and self.feedback_descent is not None and begin:
                self.feedback_descent.zero_grad()
                error = self.feedback.error([part.detach() for part in start], targets, _time(labels, begin))
                error.backward()
                self.feedback_errors.append(error.detach())
                self.feedback_descent.step()


def _named(start: Sequence[Tensor]) -> dict[str, Tensor]:
    return dict(zip(ControllerState._fields[:3], start, strict=True))


def _time(labels: Int[Tensor, "batch time"], done: int) -> Float[Tensor, "batch 1"]:
    """Share of the stream that is over, as the feedback's context."""
    return torch.full((len(labels), 1), done / labels.shape[1], device=labels.device)


def as_tensors(streams: Streams, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images as rows of pixels, and their labels."""
    images, labels = torch.from_numpy(streams.values), torch.from_numpy(streams.labels)
    return images.flatten(2).to(device), labels.to(device)


def split_characters(trial: Trial, parts: int) -> list[Images]:
    """Images of the held-out alphabets, then of each of some equal parts of the rest (at smoke scale digits, by class)."""
    images: Images
    if trial.scale == "smoke":
        images = digits()
        groups = images.labels
    else:
        images = characters = omniglot(side=trial.pick(smoke=8, laptop=15, full=28))
        groups = characters.alphabets
    order = trial.rng("alphabets").permutation(int(groups.max()) + 1)
    held = trial.pick(smoke=4, laptop=2, full=2)
    chosen = [order[:held], *np.array_split(order[held:], parts)]
    masks = [np.isin(groups, part) for part in chosen]
    return [Images(images.values[mask], images.labels[mask]) for mask in masks]


def stream_sizes(trial: Trial) -> dict[str, int]:
    """Classes and images of a stream."""
    return trial.pick(
        smoke={"ways": 3, "rare": 1, "common_shots": 3, "rare_shots": 2},
        laptop={"ways": 5, "rare": 2, "common_shots": 6, "rare_shots": 3},
        full={"ways": 5, "rare": 2, "common_shots": 12, "rare_shots": 5},
    )


@torch.no_grad()
def correct(trial: Trial, learner: StreamLearner, streams: Streams) -> np.ndarray:
    """Whether each prediction of the trained network is correct; its weights stay as they are."""
    images, labels = as_tensors(streams, trial.device)
    return (learner(images, labels)[0].argmax(-1) == labels).cpu().numpy()


def held_out_streams(trial: Trial, images: Images) -> Streams:
    """Streams of the alphabets that no network is trained on."""
    count = trial.pick(smoke=16, laptop=1000, full=4000)
    return FewShotStreams(images, **stream_sizes(trial)).draw(count, trial.rng("test"))


def _descent(feedback: StateFeedback | None) -> torch.optim.Optimizer | None:
    return None if feedback is None else torch.optim.Adam(feedback.parameters(), FEEDBACK_RATE, fused=True)


def three_trainings(trial: Trial) -> list[dict[str, Any]]:
    """Accuracy at each image of a class, in streams of characters of unseen alphabets, after three ways of training.

    All start from the same weights and see the same streams once. Coupled: backpropagation through the whole stream, then one
    update. Truncated and decoupled: an update every few images, without and with predicted gradients of what comes later.
    `feedback_error`: squared error of these in the last tenth of the training, as a share of the squares; 1 is what predicting
    nothing has.
    """
    test, train = split_characters(trial, 1)
    source = FewShotStreams(with_rotations(train), **stream_sizes(trial))
    held_out = held_out_streams(trial, test)
    rows = []
    for method, rate in LEARNING_RATES.items():
        # The same streams of random numbers for all: the same weights at the start, the same images in the same order.
        learner = StreamLearner(test.values[0].size, source.ways, trial.generator("weights"))
        feedback = make_feedback(trial.generator("feedback")) if method == "decoupled" else None
        chunk = source.length if method == "coupled" else CHUNK
        training = Training(learner, rate, chunk, feedback, _descent(feedback))
        rng = trial.rng("streams")
        for _ in range(trial.pick(smoke=2, laptop=100, full=20_000)):
            training.batch(*as_tensors(source.draw(16, rng), trial.device))
        hits = correct(trial, learner, held_out)
        last = training.feedback_errors[-max(1, len(training.feedback_errors) // 10) :]
        error = float(torch.stack(last).mean()) if last else None
        for kind, chosen in (("rare", held_out.rare), ("common", ~held_out.rare)):
            for instance in np.unique(held_out.instances[chosen]):
                accuracy = float(hits[chosen & (held_out.instances == instance)].mean())
                rows.append(
                    {
                        "method": method,
                        "kind": kind,
                        "instance": int(instance),
                        "accuracy": accuracy,
                        "feedback_error": error,
                    }
                )
    return rows


def draw_rare_classes(axes, table):
    """Accuracy at the first, second, … image of a class: rare ones with markers, common ones dotted."""
    for method, style in styles(list(LEARNING_RATES)):
        rows = table[table["method"] == method]
        spread(axes, rows[rows["kind"] == "rare"], "instance", "accuracy", label=method, linestyle="-", **style)
        common = rows[rows["kind"] == "common"].groupby("instance")["accuracy"].mean()
        axes.plot(common.index, common, color=style["color"], linestyle=":")
    axes.plot([], [], color="C7", linestyle=":", label="common classes (means)")
    finish(axes, "which image of its class", "accuracy")


@paper.claim(three_trainings, figure=draw_rare_classes)
def rare_classes(table):
    """Accuracy gained on a rare class from its second image on; every image is met equally often."""
    later = table[(table["kind"] == "rare") & (table["instance"] > 1)]
    accuracy = later.groupby("method")["accuracy"].mean()
    return {
        **{f"gain_over_{twin}": accuracy["decoupled"] - accuracy[twin] for twin in ("coupled", "truncated")},
        "feedback_error": table["feedback_error"].max(),
        **{f"accuracy_{method}": value for method, value in accuracy.items()},
    }


def feedback_shared_or_own(trial: Trial) -> list[dict[str, Any]]:
    """Two networks learn from different alphabets, in turn, with one feedback path for both or one each.

    They are tested on alphabets that neither has seen; `images` counts what an accuracy is the mean of.
    """
    test, *parts = split_characters(trial, 2)
    sources = [FewShotStreams(with_rotations(part), **stream_sizes(trial)) for part in parts]
    held_out = held_out_streams(trial, test)
    rows = []
    for name in ("shared", "own"):
        shared = make_feedback(trial.generator("feedback"))
        descent = _descent(shared)
        trainings = []
        for _ in sources:
            learner = StreamLearner(test.values[0].size, sources[0].ways, trial.generator("weights"))
            own = make_feedback(trial.generator("feedback"))
            feedback = (shared, descent) if name == "shared" else (own, _descent(own))
            trainings.append(Training(learner, LEARNING_RATES["decoupled"], CHUNK, *feedback))
        rngs = [trial.rng(f"streams {number}") for number in range(len(sources))]
        for _ in range(trial.pick(smoke=2, laptop=60, full=10_000)):
            for training, source, rng in zip(trainings, sources, rngs, strict=True):
                training.batch(*as_tensors(source.draw(16, rng), trial.device))
        for number, training in enumerate(trainings, start=1):
            hits = correct(trial, training.learner, held_out)
            for instance in range(1, int(held_out.instances.max()) + 1):
                here = held_out.instances == instance
                accuracy, images = float(hits[here].mean()), int(here.sum())
                rows.append(
                    {"feedback": name, "network": number, "instance": instance, "accuracy": accuracy, "images": images}
                )
    return rows


@paper.claim(
    feedback_shared_or_own, figure=lines("instance", "accuracy", "feedback", xlabel="which image of its class")
)
def shared_feedback(table):
    """Accuracy from a class's second image on, mean of both networks, less that with feedback of their own."""
    later = table[table["instance"] > 1]
    hits = (later["accuracy"] * later["images"]).groupby(later["feedback"]).sum()
    accuracy = hits / later.groupby("feedback")["images"].sum()
    return {
        "gain_of_sharing": accuracy["shared"] - accuracy["own"],
        **{f"accuracy_{name}": value for name, value in accuracy.items()},
    }
