"""SpikeGPT: Generative Pre-trained Language Model with Spiking Neural Networks (Zhu, Zhao, Li & Eshraghian 2023).

A character model of spikes beside its non-spiking twin, and the operations that its spikes save.
"""

import math
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import shakespeare
from replica.lab.claims import LogUniform, Paper, Trial
from replica.lab.studies import dots
from replica.spiking import Operations, SpikeGPT, SpikeGPTBlock, energy_ratio, synaptic_operations
from replica.training import CharacterText, EventClassifier, bits_per_token, fit, next_token_loss

paper = Paper("spike_gpt")

SPIKING, TWIN, PAIRS = "spiking", "non-spiking twin", "pairs counted"


def settings_of(trial: Trial) -> dict[str, Any]:
    """Sizes of the model and its training."""
    smoke = {"dim": 16, "layers": 2, "length": 16, "batch": 4, "steps": 10, "rate": {SPIKING: 1e-2, TWIN: 1e-2},
             "test": 16}  # fmt: skip
    laptop = {"dim": 64, "layers": 2, "length": 32, "batch": 32, "steps": 300, "rate": {SPIKING: 1e-2, TWIN: 2e-2},
              "test": 500}  # fmt: skip
    full = {"dim": 512, "layers": 12, "length": 1024, "batch": 12, "steps": 100_000,
            "rate": {SPIKING: 6e-4, TWIN: 6e-4}, "test": 100}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def train(trial: Trial, text: CharacterText, name: str) -> SpikeGPT:
    """A model after training; its twin starts at the same weights and sees the same batches."""
    settings = settings_of(trial)
    model = SpikeGPT(
        len(text.alphabet), dim=settings["dim"], layers=settings["layers"], spiking=name == SPIKING,
        generator=trial.generator("model"),
    )  # fmt: skip
    rate, steps = settings["rate"][name], settings["steps"]
    optimiser = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.99), eps=4e-9, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.1)
    stream = text.stream(settings["batch"], settings["length"] + 1, trial.generator("batches"))
    fit(model, next_token_loss, stream, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)
    return model


def bits_of_pairs(text: CharacterText) -> float:
    """Held-out bits a character of a table of how often each character follows each."""
    size = len(text.alphabet)
    seen, found = (
        torch.bincount(part[1:] + size * part[:-1], minlength=size**2).reshape(size, size).double()
        for part in (text.train, text.held_out)
    )
    seen += 0.1
    return float(-(found * (seen / seen.sum(-1, keepdim=True)).log2()).sum() / found.sum())


@torch.no_grad()
def spikes_of(model: SpikeGPT, tokens: Int[Tensor, "batch length"]) -> list[tuple[Tensor, Tensor]]:
    """What each layer's two sets of neurons add to the stream."""
    stream, found = model.embedding_norm(model.embed(tokens.T)), []
    for block in model.blocks:
        first = block.time_output(stream)
        second = block.channel_output(stream + first)
        found.append((first, second))
        stream = stream + first + second
    return found


@torch.no_grad()
def event_driven(model: SpikeGPT, tokens: Int[Tensor, "batch length"]) -> Operations:
    """Fewest operations for exactly the model's outputs on a machine that adds up events and skips zeros.

    A layer that reads the stream is linear in it but for the scale of the normalisation, one number a position: its product
    with the embedding's part is looked up by token, and every spike that any layer before has added to the stream adds
    one column for this position and one for the next (its step before); where that is more than the whole product, the
    product is taken. Time mixing's output projection receives real numbers and multiplies all; channel mixing's second
    layer multiplies those of its inputs that are not zero.
    """
    active: list[float] = []
    hooks = [
        block.channel_mixing.value.register_forward_hook(
            lambda layer, given, output: active.append(float((given[0] != 0).sum()))
        )
        for block in model.blocks
    ]
    try:
        added = spikes_of(model, tokens)
    finally:
        for hook in hooks:
            hook.remove()
    dim, positions = model.head.in_features, tokens.numel()
    in_stream = additions = multiplications = 0.0

    def read(outputs: int, times: int) -> None:
        """By events, or whole where these would be more."""
        nonlocal additions, multiplications
        events, whole = float(times * outputs * in_stream), float(positions * dim * outputs)
        additions += events if events < whole else 0.0
        multiplications += 0.0 if events < whole else whole

    for block, (first, second), nonzero in zip(model.blocks, added, active, strict=True):
        time, channel = block.time_mixing, block.channel_mixing
        read(time.key.out_features + time.value.out_features + time.receptance.out_features, 2)
        multiplications += positions * time.output.weight.numel()
        in_stream += float(first.sum())
        read(channel.key.out_features + channel.receptance.out_features, 2)
        multiplications += nonzero * dim
        in_stream += float(second.sum())
    read(model.head.out_features, 1)
    dense = positions * sum(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear))
    return Operations(additions, multiplications, float(dense), in_stream)


def language_models(trial: Trial) -> list[dict[str, Any]]:
    """Held-out bits a character of a table of pairs, the model and its twin; operations a token; spikes a neuron and token."""
    smoke = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 20
    text = CharacterText(smoke if trial.scale == "smoke" else shakespeare(), trial.device)
    settings = settings_of(trial)
    test = text.windows(text.held_out, settings["test"], settings["length"] + 1, trial.generator("test"))
    spiking, twin = (train(trial, text, name) for name in (SPIKING, TWIN))
    tokens = test[:, :-1]
    counted, each = event_driven(spiking, tokens), tokens.numel()
    rate = fmean(float(spikes.mean()) for pair in spikes_of(spiking, tokens) for spikes in pair)
    return [
        {"model": PAIRS, "bits": bits_of_pairs(text)},
        {"model": TWIN, "bits": bits_per_token(twin, test), "additions": 0.0, "multiplications": counted.dense / each},
        {"model": SPIKING, "bits": bits_per_token(spiking, test), "additions": counted.additions / each,
         "multiplications": counted.multiplications / each, "spikes": rate},
    ]  # fmt: skip


draw_bits = dots("model", "bits", ylabel="held-out bits a character")


@paper.claim(language_models, figure=draw_bits)
def competitive(table):
    bits = table.set_index("model")["bits"]
    return {
        "ratio_of_bits": bits[SPIKING] / bits[TWIN],
        "ratio_of_pairs": bits[PAIRS] / bits[TWIN],
        "bits": bits[SPIKING],
    }


@paper.claim(language_models, figure=draw_bits)
def learns(table):
    bits = table.set_index("model")["bits"]
    return {"bits_below_bigrams": bits[PAIRS] - bits[SPIKING], "bits": bits[SPIKING]}


def draw_operations(axes, table):
    """Operations a token, additions and multiply-accumulates alike."""
    counted = table.dropna(subset=["additions"])
    counted = counted.assign(operations=counted["additions"] + counted["multiplications"])
    dots("model", "operations", ylabel="operations a token")(axes, counted)
    axes.set_ylim(bottom=0)


@paper.claim(language_models, figure=draw_operations)
def fewer_operations(table):
    rows = table.set_index("model")
    additions, products, rate = rows.loc[SPIKING, ["additions", "multiplications", "spikes"]]
    dense = rows.loc[TWIN, "multiplications"]
    return {
        "times_fewer": dense / (additions + products),
        "times_less_energy": 1 / energy_ratio(Operations(additions, products, dense, 0.0)),
        "spikes_per_neuron_and_token": rate,
    }


class EventReader(nn.Module):
    """Blocks of SpikeGPT over recordings of events: a linear layer, the blocks, and a read-out of the mean over time.

    Args:
        units: Units that may have events.
        classes: Classes.
        dim: Units of the stream.
        layers: Blocks.
    """

    def __init__(self, units: int, classes: int, dim: int = 48, layers: int = 2) -> None:
        super().__init__()
        self.project = nn.Linear(units, dim)
        self.blocks = nn.ModuleList(SpikeGPTBlock(dim, layer=i, layers=layers) for i in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, events: Float[Tensor, "batch time units"]) -> Float[Tensor, "batch classes"]:
        """Scores of the classes."""
        return self.head(self.norm(self.streams(events)[-1]).mean(0))

    def streams(self, events: Float[Tensor, "batch time units"]) -> list[Float[Tensor, "time batch dim"]]:
        """The stream before the first block and after each."""
        found = [self.project(events.transpose(0, 1))]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    @torch.no_grad()
    def operations(self, events: Float[Tensor, "batch time units"]) -> dict[str, float]:
        """Of one inference: events add, and all other layers, whose inputs are real numbers, multiply and add."""
        counted = synaptic_operations(self, events)
        first, *_, last = self.streams(events)
        return {
            "operations": (counted.additions + counted.multiplications) / len(events),
            "spikes": float((last - first).round().sum()) / len(events),
        }


@paper.entry("events", name="spike-gpt", space={"learning_rate": LogUniform(5e-4, 5e-2)})
def spike_gpt(trial: Trial, learning_rate: float = 1e-2) -> EventClassifier:
    """Two blocks of SpikeGPT over the recording, trained as the problem's networks are."""
    return EventClassifier(
        lambda steps, classes, shape: EventReader(math.prod(shape), classes),
        trial.generator("weights", "cpu"),
        learning_rate=learning_rate,
    )
