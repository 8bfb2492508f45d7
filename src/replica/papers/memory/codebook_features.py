"""Codebook Features: Sparse and Discrete Interpretability for Neural Networks (Tamkin, Taufeeque & Goodman 2023).

A transformer whose heads and perceptrons speak in codes loses little; states get codes of their own; codes steer it.
"""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from replica.data import shakespeare
from replica.lab.claims import Paper, Proportion, Reported, Trial, above, below
from replica.lab.claims.drawing import draw_spread
from replica.memory import (
    CodebookLayer,
    activate_codes,
    attach_codebooks,
    codebooks_of,
    initialize_codebooks,
    reconstruction_loss,
    record_codes,
)
from replica.memory.codebook_wrapping import CodeRecord
from replica.training import CausalTransformer, fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

paper = Paper(
    "codebook_features",
    departures=(
        "At laptop scale the finite-state machine is the paper's (100 states of two digits, 10 successors each), the "
        "transformer has 2 layers of 64 units and sequences of 8 states in place of 4 layers of 128 and 64 states, and is "
        "trained for hundreds of steps in place of 20,000.",
        "On the finite-state machine codebooks start at k-means of a trained model's activations and are fine-tuned with it, "
        "as the paper does for language; the authors' configuration trains both together from the start there.",
        "Activations are quantised as they are, and the k codes summed, as the authors describe it; their code "
        "normalises activations first and takes the mean of the codes.",
        "Codes have thirty times the learning rate of the model's weights, and the reconstruction loss has weight 1 / width; "
        "these, the fine-tuning rates and the sizes of codebooks were chosen on seed 100. The plain model is trained on for as "
        "many steps at two rates, and the better counts.",
        "Language is Tiny Shakespeare by character with a small transformer in place of TinyStories and WikiText-103 with "
        "models of up to 410M parameters; the behaviour steered is writing in capitals, as names of speakers are set.",
        "Steering on the machine is judged on the first digit of the next state; several figures of the paper's tables were "
        "not at hand: reported figures are those of the authors' model cards, tutorial and announcements.",
    ),
)

Result = tuple[dict[str, Any], dict[str, Any]]
Settings = dict[str, Any]


# --- Training a plain transformer, and the same one with codebooks


def next_token_loss(model: nn.Module, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of each token given those before, in nats."""
    logits = model(tokens[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def trained(model: CausalTransformer, stream: Iterator, steps: int, rate: float, loss: Any = next_token_loss) -> None:
    """Trains in place: AdamW, a triangle-like schedule of the rate; codes move at thirty times the rate of weights."""
    codes = [codebook.codes for codebook in codebooks_of(model).values()]
    own = {id(code) for code in codes}
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if id(p) not in own]}]
    groups += [{"params": codes}] if codes else []
    rates = [rate, 30 * rate][: len(groups)]
    optimiser = torch.optim.AdamW(groups, rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.1)
    fit(model, loss, stream, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)


def with_codebooks(
    model: CausalTransformer, sample: Int[Tensor, "batch length"], settings: Settings, generator: torch.Generator
) -> CausalTransformer:
    """A copy with a codebook behind every head and every perceptron, at k-means of the activations."""
    model = copy.deepcopy(model)
    dim, heads = settings["dim"], settings["heads"]
    codebooks = {}
    for layer in range(settings["layers"]):
        codebooks[f"blocks.{layer}.attention.heads"] = CodebookLayer(
            dim, settings["head_codes"], active=settings["active"], groups=heads, generator=generator
        )
        codebooks[f"blocks.{layer}.mlp"] = CodebookLayer(
            dim, settings["mlp_codes"], active=settings["active"], generator=generator
        )
    attach_codebooks(model, codebooks)
    initialize_codebooks(model, lambda: model(sample[:, :-1]), iterations=settings["iterations"], generator=generator)
    return model


def fine_tuned(
    plain: CausalTransformer, stream: Iterator, sample: Int[Tensor, "batch length"], settings: Settings, trial: Trial
) -> CausalTransformer:
    """The codebook model: attached to the plain one, and trained on with the reconstruction loss."""
    model = with_codebooks(plain, sample, settings, trial.generator("codes"))

    def loss(model: nn.Module, tokens: Tensor) -> Tensor:
        with record_codes(model) as record:
            prediction = next_token_loss(model, tokens)
        return prediction + reconstruction_loss(record) / settings["dim"]

    trained(model, stream, settings["more"], settings["fine_rate"], loss)
    return model


@torch.no_grad()
def accuracy(model: nn.Module, tokens: Int[Tensor, "batch length"]) -> tuple[float, float]:
    """Share of next tokens that the model holds most likely, and its cross-entropy in bits a token."""
    hits, bits = 0, 0.0
    for part in tokens.split(256):
        hits += int((model(part[:, :-1]).argmax(-1) == part[:, 1:]).sum())
        bits += float(next_token_loss(model, part)) / 0.6931471805599453 * len(part)
    return hits / tokens[:, 1:].numel(), bits / len(tokens)


# --- The finite-state machine

DIGITS = 10
START = 10
"""The token before the first state."""


class Machine:
    """A random finite-state machine: each state moves to one of its successors, all equally likely.

    A state is written in two digits, so that no single token tells it.
    """

    def __init__(self, successors: int, generator: torch.Generator) -> None:
        order = torch.rand(DIGITS**2, DIGITS**2, generator=generator, device=generator.device).argsort(-1)
        self.successors = order[:, :successors]
        self.legal = torch.zeros_like(order, dtype=torch.bool).scatter_(1, self.successors, True)
        self.generator = generator

    def walk(self, count: int, length: int) -> tuple[Int[Tensor, "count tokens"], Int[Tensor, "count length"]]:
        """Sequences of tokens, the start token first, and their states."""
        device = self.successors.device
        draw: dict[str, Any] = {"generator": self.generator, "device": device}
        states = [torch.randint(len(self.successors), (count,), **draw)]
        for _ in range(length - 1):
            edge = torch.randint(self.successors.shape[1], (count,), **draw)
            states.append(self.successors[states[-1], edge])
        path = torch.stack(states, dim=1)
        digits = torch.stack([path // DIGITS, path % DIGITS], dim=-1).flatten(1)
        return torch.cat([torch.full((count, 1), START, device=device), digits], dim=1), path

    def stream(self, count: int, length: int) -> Iterator[tuple[Tensor]]:
        """Fresh batches without end."""
        while True:
            yield (self.walk(count, length)[0],)

    def legal_share(self, tokens: Int[Tensor, "count tokens"]) -> Proportion:
        """How many transitions of sampled sequences (without their start token) are the machine's."""
        first, second = tokens[:, 0::2], tokens[:, 1::2]
        written = (first < DIGITS) & (second < DIGITS)
        states = torch.where(written, DIGITS * first + second, 0)
        legal = self.legal[states[:, :-1], states[:, 1:]] & written[:, :-1] & written[:, 1:]
        return Proportion(int(legal.sum()), legal.numel())


def machine_settings(trial: Trial) -> Settings:
    """Sizes of the transformer, its codebooks and its training on the finite-state machine."""
    smoke = {"dim": 16, "layers": 2, "heads": 2, "length": 4, "batch": 16, "steps": 8, "more": 4, "rate": 1e-2,
             "fine_rate": 1e-3, "head_codes": 16, "mlp_codes": 64, "active": 1, "iterations": 1,
             "sample": 32, "test": 64}  # fmt: skip
    laptop = {"dim": 64, "layers": 2, "heads": 4, "length": 8, "batch": 32, "steps": 600, "more": 250, "rate": 1e-2,
              "fine_rate": 1e-3, "head_codes": 256, "mlp_codes": 2048, "active": 1, "iterations": 5,
              "sample": 256, "test": 1000}  # fmt: skip
    full = {"dim": 128, "layers": 4, "heads": 4, "length": 64, "batch": 512, "steps": 15_000, "more": 5_000, "rate": 1e-3,
            "fine_rate": 1e-4, "head_codes": 1000, "mlp_codes": 10_000, "active": 1, "iterations": 10,
            "sample": 512, "test": 2048}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def machine_models(trial: Trial, settings: Settings) -> tuple[Machine, CausalTransformer, CausalTransformer]:
    """The machine, a plain transformer trained on it, and that one with codebooks, fine-tuned."""
    machine = Machine(10, trial.generator("machine"))
    plain = CausalTransformer(
        DIGITS + 1, dim=settings["dim"], layers=settings["layers"], heads=settings["heads"],
        context=2 * settings["length"], generator=trial.generator("model"),
    )  # fmt: skip
    stream = machine.stream(settings["batch"], settings["length"])
    trained(plain, stream, settings["steps"], settings["rate"])
    sample, _ = machine.walk(settings["sample"], settings["length"])
    return machine, plain, fine_tuned(plain, stream, sample, settings, trial)


def sampled(model: CausalTransformer, count: int, length: int, generator: torch.Generator) -> Tensor:
    """Sequences of a model's own, without the start token."""
    start = torch.full((count, 1), START, device=generator.device)
    return model.sample(start, 2 * length, generator=generator)[:, 1:]


@paper.claim(
    "A transformer whose heads and perceptrons each give out a single code keeps most of its accuracy on a finite-state machine.",
    expect={"share_of_accuracy_lost": below(0.05), "legal_transitions_lost": below(0.1)},
    reported={
        "share_of_accuracy_lost": Reported("usually less than 5 %", where="authors' announcement, far.ai"),
        "legal_transitions_lost": Reported("codebook model: 56 % legal", where="model card TokFSM_k1_codebook_model"),
    },
)
def machine_accuracy(trial: Trial) -> Result:
    """Next-token accuracy lost, relative, and legal transitions in sampled sequences lost, in points.

    The plain model is trained on for as many steps as the codebooks are fine-tuned, at two rates, and the better counts.
    """
    settings = machine_settings(trial)
    machine, plain, coded = machine_models(trial, settings)
    test, _ = machine.walk(settings["test"], settings["length"])
    stream = machine.stream(settings["batch"], settings["length"])
    rivals = [copy.deepcopy(plain) for _ in range(2)]
    for rival, rate in zip(rivals, (settings["rate"] / 10, settings["rate"] / 2), strict=True):
        trained(rival, stream, settings["more"], rate)
    best = min(rivals, key=lambda rival: accuracy(rival, test)[1])
    rows: dict[str, list[Any]] = {"model": [], "accuracy": [], "legal": [], "bits": []}
    for name, model in (("plain", best), ("codebooks", coded)):
        hits, bits = accuracy(model, test)
        legal = machine.legal_share(sampled(model, settings["test"] // 4, settings["length"], trial.generator("draws")))
        for key, value in zip(rows, (name, hits, legal.successes / legal.total, bits), strict=True):
            rows[key].append(value)
    measures = {
        "share_of_accuracy_lost": 1 - rows["accuracy"][1] / max(rows["accuracy"][0], 1e-9),
        "legal_transitions_lost": rows["legal"][0] - rows["legal"][1],
    }
    return measures, rows


@machine_accuracy.figure
def draw_machine_accuracy(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy and legal transitions, plain and with codebooks."""
    table = table.assign(place=table["model"].map({"plain": 0.0, "codebooks": 1.0}))
    for column, label, colour, marker, shift in (
        ("accuracy", "next digit predicted", "tab:blue", "o", -0.06),
        ("legal", "sampled transitions that are legal", "tab:orange", "s", 0.06),
    ):
        draw_spread(axes, table, "place", column, shift=shift, label=label, color=colour, marker=marker)
    axes.set_xticks([0, 1], ["plain", "codebooks"])
    axes.set(xlim=(-0.5, 1.5), ylim=(0, 1), xlabel="transformer", ylabel="share")
    axes.legend(loc="lower left")


# --- Codes and neurons as classifiers of states


def f1_of_codes(
    codes: Int[Tensor, " positions"], states: Int[Tensor, " positions"], count: int, kinds: int
) -> Float[Tensor, "kinds count"]:
    """F1 of each code as a classifier of each state; positions in no state have the number `kinds`."""
    together = torch.zeros(kinds + 1, count, device=codes.device, dtype=torch.float64)
    together.index_put_((states, codes), torch.ones((), device=codes.device, dtype=torch.float64), accumulate=True)
    active, present = together.sum(0), together[:kinds].sum(1, keepdim=True)
    return 2 * together[:kinds] / (active + present).clamp(min=1)


def neuron_classifiers(
    values: Float[Tensor, "positions neurons"], states: Int[Tensor, " positions"], kinds: int
) -> tuple[Int[Tensor, " kinds"], Float[Tensor, " kinds"], Float[Tensor, " kinds"]]:
    """For each state the neuron, sign and threshold of greatest F1: in the state where sign · value ≥ threshold."""
    member = functional.one_hot(states, kinds + 1)[:, :kinds].to(torch.float32)
    present = member.sum(0)
    taken = torch.arange(1, len(states) + 1, device=values.device, dtype=torch.float32).unsqueeze(-1)
    best = torch.full((kinds,), -1.0, device=values.device)
    neuron = torch.zeros(kinds, dtype=torch.int64, device=values.device)
    sign, threshold = torch.ones_like(best), torch.zeros_like(best)
    for index in range(values.shape[1]):
        for side in (1.0, -1.0):
            column, order = (side * values[:, index]).sort(descending=True)
            f1, at = (2 * member[order].cumsum(0) / (taken + present)).max(0)
            better = f1 > best
            best, threshold = torch.where(better, f1, best), torch.where(better, column[at], threshold)
            neuron = torch.where(better, index, neuron)
            sign = torch.where(better, side, sign)
    return neuron, sign, threshold


def scores(
    predicted: Bool[Tensor, "positions kinds"], states: Int[Tensor, " positions"]
) -> tuple[Float[Tensor, " kinds"], Float[Tensor, " kinds"], Float[Tensor, " kinds"]]:
    """Precision, recall and F1 of each column as a classifier of its state; a classifier never active has precision 0."""
    member = states.unsqueeze(-1) == torch.arange(predicted.shape[1], device=states.device)
    right = (predicted & member).sum(0).double()
    active, present = predicted.sum(0), member.sum(0)
    return right / active.clamp(min=1), right / present.clamp(min=1), 2 * right / (active + present).clamp(min=1)


def labels_of(path: Int[Tensor, "count length"], kinds: int) -> Int[Tensor, " positions"]:
    """The state that is complete at each token the model reads (the last is only predicted), or `kinds`."""
    labels = torch.full((path.shape[0], 2 * path.shape[1] + 1), kinds, device=path.device)
    labels[:, 2::2] = path
    return labels[:, :-1].flatten()


@torch.no_grad()
def recorded(model: CausalTransformer, tokens: Int[Tensor, "count tokens"]) -> CodeRecord:
    """The codes of one pass over all tokens but the last."""
    with record_codes(model) as record:
        model(tokens[:, :-1])
    return record


@torch.no_grad()
def neurons_of(model: CausalTransformer, tokens: Int[Tensor, "count tokens"]) -> Float[Tensor, "positions neurons"]:
    """Hidden units of all perceptrons, after their activation function."""
    kept: list[Tensor] = []
    units = [model.get_submodule(f"blocks.{layer}.mlp.1") for layer in range(len(model.blocks))]
    handles = [unit.register_forward_hook(lambda m, a, out: kept.append(out)) for unit in units]
    model(tokens[:, :-1])
    for handle in handles:
        handle.remove()
    return torch.cat(kept, dim=-1).flatten(0, 1)


@paper.claim(
    "Codes overcome superposition: states are assigned to distinct codes, which tell them better than any neuron does.",
    expect={
        "precision": above(0.9),
        "states_with_a_code_of_their_own": above(0.9),
        "gain_in_f1_over_neurons": above(0.0),
    },
    reported={
        "precision": Reported(
            "very high purity of the codes of the second perceptron", where="authors' TokFSM tutorial"
        ),
        "gain_in_f1_over_neurons": Reported("codes were better predictors than neurons", where="authors' announcement"),
    },
)
def state_codes(trial: Trial) -> Result:
    """For each state, the code of any perceptron's codebook with the greatest F1, found on one part of the data.

    Judged on another part, at all positions: also those inside a state are to be told apart. Neurons are the hidden
    units of the plain model's perceptrons, each with the threshold and sign of greatest F1.
    """
    settings = machine_settings(trial)
    machine, plain, coded = machine_models(trial, settings)
    kinds = len(machine.successors)
    tokens, path = machine.walk(settings["test"], settings["length"])
    half = len(tokens) // 2
    found, judged = (labels_of(part, kinds) for part in (path[:half], path[half:]))
    fitted, held_out = recorded(coded, tokens[:half]), recorded(coded, tokens[half:])
    names = [name for name in fitted if name.endswith("mlp")]
    f1 = torch.cat(
        [f1_of_codes(fitted[name][0].codes.flatten(), found, settings["mlp_codes"], kinds) for name in names], dim=1
    )
    best = f1.argmax(1)
    active = torch.stack(
        [held_out[name][0].codes.flatten() + settings["mlp_codes"] * i for i, name in enumerate(names)], dim=-1
    )
    by_code = scores((active.unsqueeze(-1) == best).any(1), judged)
    neuron, sign, threshold = neuron_classifiers(neurons_of(plain, tokens[:half]), found, kinds)
    values = neurons_of(plain, tokens[half:])[:, neuron] * sign
    by_neuron = scores(values >= threshold, judged)
    measures = {
        "precision": float(by_code[0].mean()),
        "states_with_a_code_of_their_own": Proportion(len(best.unique()), kinds),
        "gain_in_f1_over_neurons": float((by_code[2] - by_neuron[2]).mean()),
    }
    rows: dict[str, list[Any]] = {"kind": [], "precision": [], "recall": []}
    for kind, (precision, recall, _) in (("code", by_code), ("neuron", by_neuron)):
        rows["kind"] += [kind] * kinds
        rows["precision"] += precision.tolist()
        rows["recall"] += recall.tolist()
    return measures, rows


@state_codes.figure
def draw_state_codes(axes: "Axes", table: "pd.DataFrame") -> None:
    """Precision against recall: a point a state and seed."""
    for kind, colour, marker in (("neuron", "tab:orange", "s"), ("code", "tab:blue", "o")):
        part = table[table["kind"] == kind]
        axes.plot(
            part["recall"],
            part["precision"],
            marker,
            color=colour,
            markersize=4,
            alpha=0.4,
            label=f"best {kind} for a state",
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall of the state", ylabel="precision")
    axes.legend(loc="lower left")


# --- Steering the machine


def divergence(first: Float[Tensor, "... outcomes"], second: Float[Tensor, "... outcomes"]) -> Float[Tensor, "..."]:
    """Jensen-Shannon divergence of two distributions, in bits."""
    middle = (first + second) / 2

    def relative(of: Tensor) -> Tensor:
        return (torch.xlogy(of, of) - torch.xlogy(of, middle)).sum(-1)

    return (relative(first) + relative(second)) / 2 / 0.6931471805599453


@paper.claim(
    "Activating the codes of a state makes the model behave as if it were in that state.",
    expect={"divergence_left": below(0.2), "gain_in_legal_mass_over_random_codes": above(0.0)},
    reported={
        "divergence_left": Reported(
            "decision shifts almost entirely to the activated state",
            where="authors' TokFSM tutorial, codes of all perceptrons",
        )
    },
    why=(
        "The mean is inside the bound, but seeds differ by as much as the distance to it: some states share their "
        "successors with others, and the code for them steers less."
    ),
)
def steering(trial: Trial) -> Result:
    """A sequence ends in one state; the codes of another are forced on at its last token, in every perceptron.

    A state's code in a perceptron is the one most often active there at the state's last digit. `divergence_left`:
    Jensen-Shannon divergence of the next digit's distribution from the one that the model has in the other state, over
    that without intervention. Legal mass: probability of first digits of the other state's successors; random codes are
    those of a third state.
    """
    settings = machine_settings(trial)
    machine, _, coded = machine_models(trial, settings)
    kinds = len(machine.successors)
    tokens, path = machine.walk(settings["test"], settings["length"])
    labels = labels_of(path, kinds)
    record = recorded(coded, tokens)
    codes = {
        (name, group): _counts(own.flatten(), labels, codebooks_of(coded)[name].count, kinds).argmax(1)
        for name, (kept,) in record.items()
        for group, own in enumerate(kept.codes.flatten(0, 1).unbind(1))
    }
    with torch.no_grad():
        beliefs = coded(tokens[:, :-1])[..., :DIGITS].softmax(-1).flatten(0, 1)
    own = torch.zeros(kinds + 1, DIGITS, device=labels.device).index_add_(0, labels, beliefs)[:kinds]
    own = own / own.sum(-1, keepdim=True).clamp(min=1e-9)
    first_digit = functional.one_hot(machine.successors // DIGITS, DIGITS).amax(1).to(own)

    generator = trial.generator("targets")
    ends, path = machine.walk(settings["test"], max(2, settings["length"] // 2))
    last = path[:, -1]

    def another(than: Tensor) -> Tensor:
        return (than + torch.randint(1, kinds, than.shape, generator=generator, device=than.device)) % kinds

    target = another(last)
    control = another(target)
    at_end = torch.zeros(ends.shape[1], dtype=torch.bool, device=ends.device)
    at_end[-1] = True
    perceptrons = [place for place in codes if place[0].endswith("mlp")]
    plans = {
        "nothing": [],
        "random codes": perceptrons,
        "first perceptron": perceptrons[:1],
        "all perceptrons": perceptrons,
        "heads too": list(codes),
    }
    rows: dict[str, list[Any]] = {"forced": [], "divergence": [], "legal_mass": []}
    for plan, places in plans.items():
        source = control if plan == "random codes" else target
        forced = [(*place, codes[place][source].unsqueeze(-1)) for place in places]
        with activate_codes(coded, forced, where=at_end), torch.no_grad():
            belief = coded(ends)[:, -1, :DIGITS].softmax(-1)
        rows["forced"].append(plan)
        rows["divergence"].append(float(divergence(belief, own[target]).mean()))
        rows["legal_mass"].append(float((belief * first_digit[target]).sum(-1).mean()))
    by_plan = {plan: i for i, plan in enumerate(rows["forced"])}
    all_of, none, random = (by_plan[name] for name in ("all perceptrons", "nothing", "random codes"))
    measures = {
        "divergence_left": rows["divergence"][all_of] / max(rows["divergence"][none], 1e-9),
        "gain_in_legal_mass_over_random_codes": rows["legal_mass"][all_of] - rows["legal_mass"][random],
    }
    return measures, rows


def _counts(codes: Tensor, labels: Tensor, count: int, kinds: int) -> Float[Tensor, "kinds count"]:
    together = torch.zeros(kinds + 1, count, device=codes.device)
    return together.index_put_((labels, codes), torch.ones((), device=codes.device), accumulate=True)[:kinds]


@steering.figure
def draw_steering(axes: "Axes", table: "pd.DataFrame") -> None:
    """Divergence from the other state's distribution, and mass on its successors, by what is forced."""
    order = ["nothing", "random codes", "first perceptron", "all perceptrons", "heads too"]
    table = table.assign(place=table["forced"].map({name: float(i) for i, name in enumerate(order)}))
    for column, label, colour, marker, shift in (
        ("divergence", "divergence from the other state / bits", "tab:blue", "o", -0.08),
        ("legal_mass", "mass on its successors' first digits", "tab:orange", "s", 0.08),
    ):
        draw_spread(axes, table, "place", column, shift=shift, label=label, color=colour, marker=marker)
    axes.set_xticks(range(len(order)), [name.replace(" ", "\n") for name in order])
    axes.set(
        xlim=(-0.5, len(order) - 0.5),
        ylim=(0, 1.3),
        xlabel="codes of another state forced on at the last digit",
        ylabel="divergence / bits, probability mass",
    )
    axes.legend(loc="upper right")


# --- Characters


def made_play(trial: Trial, lines: int) -> str:
    """Speakers in capitals and lines of nonsense: a text for smoke runs."""
    rng = trial.rng("text")
    syllables = ["ba", "do", "ki", "lu", "me", "ro", "sa", "tu"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(4 * lines)]
    return "".join(
        f"{words[4 * i].upper()}:\n{words[4 * i + 1].capitalize()} {words[4 * i + 2]} {words[4 * i + 3]}.\n\n"
        for i in range(lines)
    )


class Text:
    """Characters as numbers, the first nine tenths for training and the rest held out."""

    def __init__(self, text: str, device: torch.device) -> None:
        alphabet = sorted(set(text))
        number = {character: i for i, character in enumerate(alphabet)}
        values = torch.tensor([number[character] for character in text], device=device)
        self.alphabet = alphabet
        self.train, self.held_out = values[: 9 * len(values) // 10], values[9 * len(values) // 10 :]
        self.capital = torch.tensor([character.isupper() for character in alphabet], device=device)

    def windows(
        self, values: Tensor, count: int, length: int, generator: torch.Generator
    ) -> Int[Tensor, "count length"]:
        """Stretches of the text from random places."""
        starts = torch.randint(len(values) - length, (count, 1), generator=generator, device=values.device)
        return values[starts + torch.arange(length, device=values.device)]

    def stream(self, count: int, length: int, generator: torch.Generator) -> Iterator[tuple[Tensor]]:
        """Training batches without end."""
        while True:
            yield (self.windows(self.train, count, length, generator),)

    def shouts(self, tokens: Int[Tensor, "count length"]) -> Bool[Tensor, "count length"]:
        """Where a capital follows a capital, as in the names of speakers."""
        capital = self.capital[tokens]
        return capital & functional.pad(capital[:, :-1], (1, 0))


def text_settings(trial: Trial) -> Settings:
    """Sizes of the transformer, its codebooks and its training on text."""
    smoke = {"dim": 16, "layers": 1, "heads": 2, "length": 16, "batch": 8, "steps": 8, "more": 4, "rate": 1e-2,
             "fine_rate": 3e-4, "head_codes": 16, "mlp_codes": 32, "active": 4, "iterations": 1, "sample": 16,
             "test": 16, "drawn": 8}  # fmt: skip
    laptop = {"dim": 64, "layers": 2, "heads": 4, "length": 32, "batch": 32, "steps": 350, "more": 150, "rate": 1e-2,
              "fine_rate": 3e-4, "head_codes": 256, "mlp_codes": 1024, "active": 8, "iterations": 5, "sample": 64,
              "test": 500, "drawn": 16}  # fmt: skip
    full = {"dim": 384, "layers": 6, "heads": 6, "length": 256, "batch": 64, "steps": 5_000, "more": 5_000, "rate": 1e-3,
            "fine_rate": 1e-4, "head_codes": 10_000, "mlp_codes": 10_000, "active": 8, "iterations": 10, "sample": 256,
            "test": 400, "drawn": 200}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def text_models(trial: Trial, settings: Settings) -> tuple[Text, CausalTransformer, CausalTransformer]:
    """The text, a plain transformer trained on it, and that one with codebooks, fine-tuned."""
    text = Text(made_play(trial, 100) if trial.scale == "smoke" else shakespeare(), trial.device)
    plain = CausalTransformer(
        len(text.alphabet), dim=settings["dim"], layers=settings["layers"], heads=settings["heads"],
        context=settings["length"], generator=trial.generator("model"),
    )  # fmt: skip
    generator = trial.generator("batches")
    stream = text.stream(settings["batch"], settings["length"] + 1, generator)
    trained(plain, stream, settings["steps"], settings["rate"])
    sample = text.windows(text.train, settings["sample"], settings["length"] + 1, generator)
    return text, plain, fine_tuned(plain, stream, sample, settings, trial)


@paper.claim(
    "A language model whose heads and perceptrons give out sums of a few codes loses little of its accuracy.",
    expect={"share_of_accuracy_lost": below(0.05)},
    reported={"share_of_accuracy_lost": Reported("usually less than 5 %", where="authors' announcement, far.ai")},
    why=(
        "About 6 % of the accuracy is lost. At this size the plain model is still learning quickly when it is fine-tuned, "
        "and the codebook model follows at a gentler rate; the paper fine-tunes models that have converged."
    ),
)
def text_accuracy(trial: Trial) -> Result:
    """Held-out accuracy of the next character lost, relative, with 8 of the codes active in each codebook.

    The plain model is trained on for as many steps at two rates, and the better counts.
    """
    settings = text_settings(trial)
    text, plain, coded = text_models(trial, settings)
    generator = trial.generator("test")
    test = text.windows(text.held_out, settings["test"], settings["length"] + 1, generator)
    stream = text.stream(settings["batch"], settings["length"] + 1, generator)
    rivals = [copy.deepcopy(plain) for _ in range(2)]
    for rival, rate in zip(rivals, (settings["rate"] / 10, settings["rate"] / 2), strict=True):
        trained(rival, stream, settings["more"], rate)
    best = min(rivals, key=lambda rival: accuracy(rival, test)[1])
    rows: dict[str, list[Any]] = {"model": [], "accuracy": [], "bits": []}
    for name, model in (("plain", best), ("codebooks", coded)):
        for key, value in zip(rows, (name, *accuracy(model, test)), strict=True):
            rows[key].append(value)
    return {"share_of_accuracy_lost": 1 - rows["accuracy"][1] / max(rows["accuracy"][0], 1e-9)}, rows


@text_accuracy.figure
def draw_text_accuracy(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy against bits a character, plain and with codebooks."""
    for model, colour, marker in (("plain", "tab:orange", "s"), ("codebooks", "tab:blue", "o")):
        part = table[table["model"] == model]
        axes.plot(part["bits"], 100 * part["accuracy"], marker, color=colour, markersize=6, alpha=0.7, label=model)
    axes.set(xlabel="held-out cross-entropy / bits a character", ylabel="next character predicted / %")
    axes.legend()


@paper.claim(
    "Activating codes that are active with a behaviour brings the behaviour about in generated text.",
    expect={"gain_over_random_codes": above(0.0), "gain_over_no_intervention": above(0.0)},
    reported={"gain_over_no_intervention": Reported("topics appear in the text", where="abstract")},
)
def text_control(trial: Trial) -> Result:
    """The behaviour: a capital after a capital, as names of speakers are set.

    In each codebook (head or perceptron) the code of greatest F1 for it is found on training text. Then the best one, the
    best 4 and all of these codes over the codebooks are forced on while the model continues held-out text; the gains are
    in the share of characters drawn that show the behaviour, with all of them forced. Random codes: as many, of the same
    codebooks, drawn as often as they are in use.
    """
    settings = text_settings(trial)
    text, _, coded = text_models(trial, settings)
    generator = trial.generator("control")
    length = settings["length"]
    seen = text.windows(text.train, settings["test"], length + 1, generator)
    shouting = text.shouts(seen)[:, :-1].flatten()
    ranked: list[tuple[float, str, int, int]] = []
    used: dict[tuple[str, int], Tensor] = {}
    for name, (kept,) in recorded(coded, seen).items():
        codes = kept.codes.flatten(0, 1)
        for group in range(codes.shape[1]):
            count = codebooks_of(coded)[name].count
            active = codes[:, group]
            together = torch.zeros(2, count, device=active.device).index_put_(
                (shouting.long().unsqueeze(-1).expand_as(active), active),
                torch.ones((), device=active.device),
                accumulate=True,
            )
            # A code is active at most once at a position, so that its sum is its number of positions.
            f1 = 2 * together[1] / (together.sum(0) + shouting.sum()).clamp(min=1)
            ranked.append((float(f1.max()), name, group, int(f1.argmax())))
            used[name, group] = active.flatten()
    ranked.sort(key=lambda entry: entry[0], reverse=True)
    prompts = text.windows(text.held_out, settings["test"] // 6, length - settings["drawn"], generator)
    sizes = sorted({0, 1, min(4, len(ranked)), len(ranked)})
    rows: dict[str, list[Any]] = {"codes": [], "kind": [], "share": []}
    for size in sizes:
        for kind in ("found", "random") if size else ("found",):
            forced = []
            for _, name, group, code in ranked[:size]:
                pool = used[name, group]
                pick = torch.randint(len(pool), (1,), generator=generator, device=pool.device)
                forced.append((name, group, code if kind == "found" else int(pool[pick])))
            with activate_codes(coded, forced):
                drawn = coded.sample(prompts, settings["drawn"], generator=trial.generator("draws"))
            shouted = text.shouts(drawn)[:, prompts.shape[1] :]
            for key, value in zip(rows, (size, kind, float(shouted.float().mean())), strict=True):
                rows[key].append(value)
    measures = {
        "gain_over_random_codes": rows["share"][-2] - rows["share"][-1],
        "gain_over_no_intervention": rows["share"][-2] - rows["share"][0],
    }
    return measures, rows


@text_control.figure
def draw_text_control(axes: "Axes", table: "pd.DataFrame") -> None:
    """Share of characters in capitals by the number of codes forced."""
    for kind, label, colour, marker, shift in (
        ("found", "codes found on the behaviour", "tab:blue", "o", -0.1),
        ("random", "random codes of the same codebooks", "tab:orange", "s", 0.1),
    ):
        part = table[table["kind"] == kind]
        line = "-" if kind == "found" else "--"
        style = {"label": label, "color": colour, "marker": marker, "linestyle": line}
        draw_spread(axes, part, "codes", "share", scale=100, shift=shift, **style)
    axes.set(xlabel="codes forced on", ylabel="characters drawn: capital after capital / %")
    axes.legend()
