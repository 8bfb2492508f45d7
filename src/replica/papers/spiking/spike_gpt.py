"""SpikeGPT: Generative Pre-trained Language Model with Spiking Neural Networks (Zhu, Zhao, Li & Eshraghian 2023).

A character model of spikes learns text nearly as its non-spiking twin does, and runs at constant memory a token. How many
operations its spikes save is counted three ways.
"""

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import shakespeare
from replica.lab.claims import LogUniform, Paper, Reported, Trial, above, below, within
from replica.lab.claims.drawing import draw_spread
from replica.papers.memory.codebook_features import Text, accuracy, made_play, next_token_loss
from replica.spiking import Operations, SpikeGPT, SpikeGPTBlock, energy_ratio, synaptic_operations
from replica.training import EventClassifier, History, fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

paper = Paper(
    "spike_gpt",
    departures=(
        "At laptop scale: Tiny Shakespeare by character, 2 layers of 64 units, 300 steps on 32 stretches of 32 characters; the "
        "paper's small model has 12 layers of 512 units and reads Enwik8, 1,024 characters at a time. At full "
        "scale the size is the paper's and the text is still Tiny Shakespeare.",
        "The non-spiking model beside it is its twin: the same parameters and training, with the neurons and the binary "
        "embedding left out, which makes it an RWKV. The paper stands beside transformers, linear transformers and an LSTM.",
        "Of the paper's full text only the abstract was at hand. The bound on bits is the ratio of 1.283 bits on "
        "Enwik8 to 1.137 of a transformer of that size, as we remember its table, which we could not check.",
        "Neurons, binary embedding, initial values, Adam's betas and the limit on the gradient's norm are those of the "
        "authors' code as it runs when nothing is loaded. Left out are dropout of 0.03 and a small pull of the greatest logit "
        "to zero. The rate rises over a tenth of the steps and falls along a cosine; its height at laptop scale is, for model "
        "and twin each, the best of 0.003, 0.01, 0.02 and 0.03 on seed 101.",
        "How the authors count operations was not at hand; later versions of the abstract say 32.2 times, which is the ratio "
        "of two energies as others quote them. We count what their code's layers receive, what a machine that adds up "
        "events could save at best, and what one would save if every layer's input were a spike. That the best may take a whole "
        "product where events are more was added after seed 100, to the model's advantage; bounds were kept.",
        "The entry in the problem events is ours: the paper reads no events. Its rate was chosen among 0.005, 0.01 and 0.02 on "
        "seed 101 of two data sets.",
    ),
)

Result = tuple[dict[str, Any], dict[str, Any]]
Settings = dict[str, Any]

TWINS = {True: "spiking", False: "non-spiking twin"}
STYLES = {"spiking": ("tab:blue", "o", "-"), "non-spiking twin": ("tab:orange", "s", "--")}


# --- Training on text


def settings_of(trial: Trial) -> Settings:
    """Sizes of the model and its training."""
    smoke = {"dim": 16, "layers": 2, "length": 16, "batch": 4, "steps": 10, "rate": {True: 1e-2, False: 1e-2},
             "test": 16, "long": 40, "tokens": (1, 10, 30)}  # fmt: skip
    laptop = {"dim": 64, "layers": 2, "length": 32, "batch": 32, "steps": 300, "rate": {True: 1e-2, False: 2e-2},
              "test": 500, "long": 2_000, "tokens": (1, 10, 100, 1_000, 10_000)}  # fmt: skip
    full = {"dim": 512, "layers": 12, "length": 1024, "batch": 12, "steps": 100_000,
            "rate": {True: 6e-4, False: 6e-4}, "test": 100, "long": 10_000,
            "tokens": (1, 10, 100, 1_000, 10_000)}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def text_of(trial: Trial) -> Text:
    """Tiny Shakespeare; at smoke scale a made play."""
    return Text(made_play(trial, 100) if trial.scale == "smoke" else shakespeare(), trial.device)


def trained(trial: Trial, text: Text, *, spiking: bool = True) -> tuple[SpikeGPT, History]:
    """A model after training; its twin starts at the same weights and sees the same batches."""
    settings = settings_of(trial)
    model = SpikeGPT(
        len(text.alphabet), dim=settings["dim"], layers=settings["layers"], spiking=spiking,
        generator=trial.generator("model"),
    )  # fmt: skip
    rate, steps = settings["rate"][spiking], settings["steps"]
    optimiser = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.99), eps=4e-9, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.1)
    stream = text.stream(settings["batch"], settings["length"] + 1, trial.generator("batches"))
    history = fit(model, next_token_loss, stream, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)
    return model, history


def held_out(trial: Trial, text: Text) -> Int[Tensor, "count length"]:
    """Stretches of held-out text."""
    settings = settings_of(trial)
    return text.windows(text.held_out, settings["test"], settings["length"] + 1, trial.generator("test"))


def bits_of_counts(text: Text, order: int) -> float:
    """Held-out bits a character of a model that counts: of characters alone (0), or given the one before (1)."""
    size = len(text.alphabet)

    def table(values: Tensor) -> Tensor:
        cells = values[1:] + (size * values[:-1] if order else 0)
        return torch.bincount(cells, minlength=size ** (order + 1)).reshape(-1, size).double()

    seen = table(text.train) + 0.1
    found = table(text.held_out)
    bits = -(found * (seen / seen.sum(-1, keepdim=True)).log2()).sum() / found.sum()
    return float(bits)


@paper.claim(
    "A language model of spikes remains competitive with non-spiking models.",
    expect={"ratio_of_bits": below(1.13)},
    reported={"ratio_of_bits": Reported("remains competitive", where="abstract")},
)
def competitive(trial: Trial) -> Result:
    """Held-out bits a character over those of the twin. 1.13 is 1.283 over 1.137 bits, on Enwik8."""
    text = text_of(trial)
    test = held_out(trial, text)
    rows: dict[str, list[Any]] = {"model": [], "step": [], "bits": [], "held_out": []}
    bits = {}
    for spiking, name in TWINS.items():
        model, history = trained(trial, text, spiking=spiking)
        bits[spiking] = accuracy(model, test)[1]
        stretch = max(1, history.steps // 30)
        for start in range(0, history.steps, stretch):
            losses = history.losses[start : start + stretch]
            values = (name, start + stretch, sum(losses) / len(losses) / math.log(2), bits[spiking])
            for key, value in zip(rows, values, strict=True):
                rows[key].append(value)
    return {"ratio_of_bits": bits[True] / bits[False], "bits": bits[True]}, rows


@competitive.figure
def draw_competitive(axes: "Axes", table: "pd.DataFrame") -> None:
    """Bits a character in training, and held out at its end."""
    last = table["step"].max()
    for name, (colour, marker, line) in STYLES.items():
        part = table[table["model"] == name]
        curve = part.groupby("step")["bits"].agg(["mean", "min", "max"])
        axes.plot(curve.index, curve["mean"], line, color=colour, label=f"{name}, in training")
        axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.2)
        ends = part.drop_duplicates("seed").assign(step=1.04 * last)
        draw_spread(axes, ends, "step", "held_out", color=colour, marker=marker, label=f"{name}, held out")
    axes.set(xlabel="training step", ylabel="bits a character")
    axes.legend()


@paper.claim(
    "A network of spikes can be trained by back-propagation to generate language.",
    expect={"bits_below_bigrams": above(0.0)},
    reported={"bits_below_bigrams": Reported("language generation, implemented successfully", where="abstract")},
)
def learns(trial: Trial) -> Result:
    """Held-out bits a character below those of a table of pairs of characters: it uses more than the last one."""
    text = text_of(trial)
    model, _ = trained(trial, text)
    counted = {"characters counted": bits_of_counts(text, 0), "pairs counted": bits_of_counts(text, 1)}
    found = {**counted, "spiking model": accuracy(model, held_out(trial, text))[1]}
    measures = {"bits_below_bigrams": found["pairs counted"] - found["spiking model"], "bits": found["spiking model"]}
    return measures, {"model": list(found), "bits": list(found.values())}


@learns.figure
def draw_learns(axes: "Axes", table: "pd.DataFrame") -> None:
    """Bits a character of tables of counts and of the model."""
    names = list(dict.fromkeys(table["model"]))
    table = table.assign(place=table["model"].map({name: float(i) for i, name in enumerate(names)}))
    for i, (name, colour, marker) in enumerate(zip(names, ("tab:gray", "tab:orange", "tab:blue"), "s^o", strict=True)):
        part = table[table["model"] == name]
        draw_spread(axes, part, "place", "bits", color=colour, marker=marker, markersize=8)
        axes.annotate(
            f"{part['bits'].mean():.2f}", (i, part["bits"].mean()), xytext=(10, 0), textcoords="offset points"
        )
    axes.set_xticks(range(len(names)), names)
    top = 1.1 * table["bits"].max()
    axes.set(xlim=(-0.5, len(names) - 0.3), ylim=(0, top), xlabel="model", ylabel="held-out bits a character")


# --- Two ways to run it


@torch.no_grad()
def streamed(model: SpikeGPT, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
    """Logits from one token after the other."""
    state, found = None, []
    for token in tokens.T:
        logits, state = model.step(token, state)
        found.append(logits)
    return torch.stack(found, dim=1)


@paper.claim(
    "The same network runs over a whole sequence at once and as a recurrent network, token by token.",
    expect={"difference_double": below(1e-9), "difference_single": below(1e-4)},
    reported={"difference_double": Reported("tokens are streamed in sequentially", where="abstract")},
)
def two_modes(trial: Trial) -> Result:
    """Largest difference of logits over a long held-out text, over the largest logit, in double and single precision."""
    settings, text = settings_of(trial), text_of(trial)
    model, _ = trained(trial, text)
    tokens = text.windows(text.held_out, 1, settings["long"], trial.generator("long"))
    edges = sorted({round(settings["long"] ** (i / 8)) for i in range(9)})
    measures = {}
    rows: dict[str, list[Any]] = {"precision": [], "position": [], "difference": []}
    for name, dtype in (("single", torch.float32), ("double", torch.float64)):
        model = model.to(dtype)
        with torch.no_grad():
            together = model(tokens)[0]
        apart = (together - streamed(model, tokens)[0]).abs().amax(-1) / together.abs().max()
        measures[f"difference_{name}"] = float(apart.max())
        for start, end in zip([0, *edges], edges, strict=False):
            rows["precision"].append(name)
            rows["position"].append(end)
            rows["difference"].append(float(apart[start:end].max()))
    return measures, rows


@two_modes.figure
def draw_two_modes(axes: "Axes", table: "pd.DataFrame") -> None:
    """Difference of the two modes by position."""
    for precision, colour, marker, bound in (("single", "tab:orange", "s", 1e-4), ("double", "tab:blue", "o", 1e-9)):
        part = table[table["precision"] == precision]
        part = part.assign(difference=part["difference"].clip(lower=1e-17))
        draw_spread(
            axes, part, "position", "difference", color=colour, marker=marker, linestyle="-",
            label=f"{precision} precision",
        )  # fmt: skip
        axes.axhline(bound, color=colour, linestyle=":", label=f"bound, {precision}")
    axes.set(xscale="log", yscale="log", xlabel="position / tokens", ylabel="difference / largest logit")
    axes.legend()


@paper.claim(
    "Without attention, what has to be kept does not grow with the text.",
    expect={"growth_of_memory": within(1e-6, of=1.0)},
    reported={"growth_of_memory": Reported("linear in place of quadratic complexity", where="abstract")},
)
def constant_memory(trial: Trial) -> Result:
    """Bytes kept after the last of 10,000 tokens (30 in smoke runs) over those after 100 (10); weights apply to all alike."""
    settings, text = settings_of(trial), text_of(trial)
    model = SpikeGPT(
        len(text.alphabet), dim=settings["dim"], layers=settings["layers"], generator=trial.generator("model")
    )
    counts = settings["tokens"]
    tokens = text.windows(text.train, 1, counts[-1] + 1, trial.generator("tokens"))[0]
    state, kept = None, {}
    with torch.no_grad():
        for i in range(counts[-1]):
            _, state = model.step(tokens[i : i + 1], state)
            if i + 1 in counts:
                kept[i + 1] = bytes_of(state)
    # Keys and values of attention of the same width and depth.
    cache = [2 * settings["layers"] * settings["dim"] * count * 4 for count in counts]
    rows = {"tokens": list(counts), "state": [kept[count] for count in counts], "cache": cache}
    first = 100 if 100 in kept else 10
    return {"growth_of_memory": kept[counts[-1]] / kept[first], "bytes": float(kept[counts[-1]])}, rows


def bytes_of(state: Any) -> int:
    """Bytes of the memory behind all tensors of a state, whole storages, so that no view hides a longer past."""
    found: dict[int, int] = {}

    def look(part: Any) -> None:
        if isinstance(part, Tensor):
            storage = part.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        else:
            for each in part:
                look(each)

    look(state)
    return sum(found.values())


@constant_memory.figure
def draw_constant_memory(axes: "Axes", table: "pd.DataFrame") -> None:
    """Bytes kept by the number of tokens read."""
    draw_spread(axes, table, "tokens", "state", color="tab:blue", marker="o", label="SpikeGPT's state, measured")
    cache = table.groupby("tokens")["cache"].first()
    axes.plot(cache.index, cache, "--", color="tab:orange", label="keys and values of attention")
    axes.set(xscale="log", yscale="log", xlabel="tokens read", ylabel="kept for the next token / bytes")
    axes.legend()


# --- Operations


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


@paper.claim(
    "It takes 20 times fewer operations than without spikes, on a machine that uses sparse events.",
    expect={"times_fewer": above(20.0)},
    reported={"times_fewer": Reported("20x fewer operations", where="abstract")},
    why=(
        "In the authors' code linear layers receive sums of spikes that are normalised and mixed with those of the last "
        "token, so that no layer's input is binary: as received, nothing is saved. A machine that adds up events wherever "
        "that is less work saves a factor of 1.7 at best."
    ),
)
def fewer_operations(trial: Trial) -> Result:
    """Multiply-accumulates of the twin over additions and multiply-accumulates of the model, counted to its advantage.

    See `event_driven`. Beside it what the layers receive as they stand: one that gets only 0 and 1 would count additions
    (`replica.spiking.synaptic_operations`), and none does. What happens to single values is not counted, for neither.
    """
    text = text_of(trial)
    model, _ = trained(trial, text)
    tokens = held_out(trial, text)[:, :-1]
    best, received = event_driven(model, tokens), synaptic_operations(model, tokens)
    rows: dict[str, list[Any]] = {"count": [], "additions": [], "multiplications": []}
    for name, counted in (("layers as they receive", received), ("events added up, at best", best)):
        rows["count"].append(name)
        rows["additions"].append(counted.additions / tokens.numel())
        rows["multiplications"].append(counted.multiplications / tokens.numel())
    rows["dense"] = [best.dense / tokens.numel()] * 2
    measures = {
        "times_fewer": best.dense / (best.additions + best.multiplications),
        "times_less_energy": 1 / energy_ratio(best),
        "times_fewer_as_received": received.dense / (received.additions + received.multiplications),
    }
    return measures, rows


@fewer_operations.figure
def draw_fewer_operations(axes: "Axes", table: "pd.DataFrame") -> None:
    """Additions and multiply-accumulates a token."""
    means = table.groupby("count", sort=False)[["additions", "multiplications", "dense"]].mean() / 1000
    dense = means["dense"].iloc[0]
    names = ["non-spiking twin", *means.index]
    multiplications = [dense, *means["multiplications"]]
    additions = [0.0, *means["additions"]]
    axes.barh(range(len(names)), multiplications, color="tab:orange", label="multiply-accumulates")
    axes.barh(range(len(names)), additions, left=multiplications, color="tab:blue", hatch="//", label="additions")
    axes.axvline(dense / 20, color="black", linestyle=":", label="a 20th of the twin's")
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
    axes.set(ylim=(len(names) + 0.4, -0.5), xlabel="operations a token / thousand", ylabel="model and count")
    axes.legend(loc="lower right")


@paper.claim(
    "Its spikes are so sparse that it would cost a 20th, were every product a sum over spikes.",
    expect={"times_less_energy": above(20.0)},
    reported={"times_less_energy": Reported("20x fewer operations", where="abstract")},
    why=(
        "A neuron fires at 29 % of the tokens here; 20 times less energy, at 4.6 pJ for a multiply-accumulate and 0.9 for "
        "an addition, wants 26 % or fewer. The paper's models are larger and were trained far longer; how often their "
        "neurons fire was not at hand."
    ),
)
def sparse_spikes(trial: Trial) -> Result:
    """Energy of the twin over that of a network that adds at its neurons' mean rate wherever the twin multiplies.

    0.9 pJ an addition and 4.6 pJ a multiply-accumulate (45 nm, as in much of the field): 5.1 over the rate. The code's
    layers get no spikes (see `fewer_operations`): this is what the sparseness alone would be worth.
    """
    text = text_of(trial)
    model, _ = trained(trial, text)
    added = spikes_of(model, held_out(trial, text)[:, :-1])
    names = [f"layer {i + 1}\n{kind} mixing" for i in range(len(added)) for kind in ("time", "channel")]
    rates = [float(spikes.mean()) for pair in added for spikes in pair]
    observed = sum(spikes.numel() for pair in added for spikes in pair)
    rate = max(sum(rates) / len(rates), 1 / observed)  # a silent network has not been watched for long enough
    whole, as_spikes = Operations(0.0, 1.0, 1.0, 0.0), Operations(rate, 0.0, 1.0, rate)
    measures = {
        "times_less_energy": whole.picojoules() / as_spikes.picojoules(),
        "spikes_per_neuron_and_token": rate,
    }
    return measures, {"neurons": names, "rate": rates}


@sparse_spikes.figure
def draw_sparse_spikes(axes: "Axes", table: "pd.DataFrame") -> None:
    """Spikes a neuron and token, by layer."""
    names = list(dict.fromkeys(table["neurons"]))
    table = table.assign(place=table["neurons"].map({name: float(i) for i, name in enumerate(names)}))
    draw_spread(axes, table, "place", "rate", color="tab:blue", marker="o", label="measured")
    axes.axhline(4.6 / 0.9 / 20, color="black", linestyle=":", label="a mean rate that makes it a 20th")
    axes.set_xticks(range(len(names)), names)
    axes.set(ylim=(0, None), xlabel="neurons", ylabel="spikes a neuron and token")
    axes.legend()


# --- Events


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
