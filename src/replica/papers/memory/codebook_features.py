"""Codebook Features: Sparse and Discrete Interpretability for Neural Networks (Tamkin, Taufeeque & Goodman 2023).

A transformer whose heads and perceptrons speak in codes loses little; states get codes of their own; codes steer it.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import jensenshannon
from torch import Tensor
from torch.nn import functional

from replica.data import StateMachine, shakespeare
from replica.data.sets.state_machine import DIGITS
from replica.lab.claims import Paper, Proportion, Trial
from replica.lab.studies import dots, lines
from replica.lab.studies.figures import finish, styles
from replica.memory import (
    activate_codes,
    codebook_transformer,
    codebooks_of,
    record_codes,
    train_codebooks,
)
from replica.memory.code_classifiers import counts_in_states, f1_of_codes, neuron_classifiers, scores
from replica.memory.codebook_wrapping import CodeRecord
from replica.representations import captured_activations
from replica.training import CausalTransformer, CharacterText, bits_per_token, next_token_accuracy

paper = Paper("codebook_features")

Settings = dict[str, Any]
Rows = list[dict[str, Any]]


def with_codebooks(
    plain: CausalTransformer, stream: Iterator, sample: Int[Tensor, "batch length"], settings: Settings, trial: Trial
) -> CausalTransformer:
    """The plain transformer with codebooks, trained on with them."""
    sizes = {key: settings[key] for key in ("head_codes", "mlp_codes", "active", "iterations")}
    model = codebook_transformer(plain, sample[:, :-1], **sizes, generator=trial.generator("codes"))
    train_codebooks(model, stream, steps=settings["more"], rate=settings["fine_rate"])
    return model


# --- The finite-state machine


def machine_settings(trial: Trial) -> Settings:
    """Sizes of the transformer, its codebooks and its training on the finite-state machine."""
    smoke = {"dim": 16, "layers": 2, "heads": 2, "length": 4, "batch": 16, "steps": 8, "more": 4, "rate": 1e-2,
             "fine_rate": 1e-3, "head_codes": 16, "mlp_codes": 64, "active": 1, "iterations": 1,
             "sample": 32, "test": 64}  # fmt: skip
    laptop = smoke | {"dim": 64, "heads": 4, "length": 8, "batch": 32, "steps": 600, "more": 250, "head_codes": 256,
                      "mlp_codes": 2048, "iterations": 5, "sample": 256, "test": 1000}  # fmt: skip
    full = laptop | {"dim": 128, "layers": 4, "length": 64, "batch": 512, "steps": 15_000, "more": 5_000, "rate": 1e-3,
                     "fine_rate": 1e-4, "head_codes": 1000, "mlp_codes": 10_000, "iterations": 10, "sample": 512,
                     "test": 2048}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def machine_models(trial: Trial, settings: Settings) -> tuple[StateMachine, CausalTransformer, CausalTransformer]:
    """The machine, a plain transformer trained on it, and that one with codebooks, fine-tuned."""
    machine = StateMachine(10, trial.generator("machine"))
    plain = CausalTransformer(
        DIGITS + 1, dim=settings["dim"], layers=settings["layers"], heads=settings["heads"],
        context=2 * settings["length"], generator=trial.generator("model"),
    )  # fmt: skip
    stream = machine.stream(settings["batch"], settings["length"])
    train_codebooks(plain, stream, steps=settings["steps"], rate=settings["rate"])
    sample, _ = machine.walk(settings["sample"], settings["length"])
    return machine, plain, with_codebooks(plain, stream, sample, settings, trial)


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
    with captured_activations(model, [f"blocks.{layer}.mlp.1" for layer in range(len(model.blocks))]) as units:
        model(tokens[:, :-1])
    return torch.cat(list(units.values()), dim=-1).flatten(0, 1)


def machine_codes(trial: Trial) -> Rows:
    """Codes and neurons as classifiers of states, then codes as means of steering, of one model."""
    settings = machine_settings(trial)
    machine, plain, coded = machine_models(trial, settings)
    tokens, path = machine.walk(settings["test"], settings["length"])
    rows = classifiers(plain, coded, tokens, path, settings)
    return rows + steered(machine, coded, tokens, path, settings, trial.generator("targets"))


def classifiers(
    plain: CausalTransformer, coded: CausalTransformer, tokens: Tensor, path: Tensor, settings: Settings
) -> Rows:
    """For each state, the code of any perceptron's codebook with the greatest F1, found on one half of the data.

    Judged on the other half, at all positions: also those inside a state are to be told apart. Neurons are the hidden units of
    the plain model's perceptrons, each with the threshold and sign of greatest F1.
    """
    kinds, half = DIGITS**2, len(tokens) // 2
    found, judged = (labels_of(part, kinds) for part in (path[:half], path[half:]))
    fitted, held_out = recorded(coded, tokens[:half]), recorded(coded, tokens[half:])
    names = [name for name in fitted if name.endswith("mlp")]
    count = settings["mlp_codes"]
    best = torch.cat([f1_of_codes(fitted[n][0].codes.flatten(0, 2), found, count, kinds) for n in names], dim=1).argmax(
        1
    )
    active = torch.stack([held_out[n][0].codes.flatten() + count * i for i, n in enumerate(names)], dim=-1)
    by_code = scores((active.unsqueeze(-1) == best).any(1), judged)
    neuron, sign, threshold = neuron_classifiers(neurons_of(plain, tokens[:half]), found, kinds)
    by_neuron = scores(neurons_of(plain, tokens[half:])[:, neuron] * sign >= threshold, judged)
    codes = best.tolist()
    return [
        {
            "kind": kind,
            "precision": float(precision[state]),
            "recall": float(recall[state]),
            # Whether no state before this has the same code: so many codes are there.
            "new_code": codes[state] not in codes[:state] if kind == "code" else None,
        }
        for kind, (precision, recall, _) in (("code", by_code), ("neuron", by_neuron))
        for state in range(kinds)
    ]


def steered(
    machine: StateMachine,
    coded: CausalTransformer,
    tokens: Tensor,
    path: Tensor,
    settings: Settings,
    generator: torch.Generator,
) -> Rows:
    """A sequence ends in one state; the codes of another are forced on at its last token, in every perceptron.

    A state's code in a perceptron is the one most often active there at the state's last digit. Divergence: Jensen-Shannon, of
    the next digit's distribution from the one that the model has in the other state. Legal mass: probability of first digits of
    the other state's successors; random codes are those of a third state.
    """
    kinds = DIGITS**2
    labels = labels_of(path, kinds)
    record = recorded(coded, tokens)
    codes = {
        (name, group): counts_in_states(own, labels, codebooks_of(coded)[name].count, kinds).argmax(1)
        for name, (kept,) in record.items()
        for group, own in enumerate(kept.codes.flatten(0, 1).unbind(1))
    }
    with torch.no_grad():
        beliefs = coded(tokens[:, :-1])[..., :DIGITS].softmax(-1).flatten(0, 1)
    own = torch.zeros(kinds + 1, DIGITS, device=labels.device).index_add_(0, labels, beliefs)[:kinds]
    own = own / own.sum(-1, keepdim=True).clamp(min=1e-9)
    first_digit = functional.one_hot(machine.successors // DIGITS, DIGITS).amax(1).to(own)

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
    rows = []
    for plan, places in plans.items():
        source = control if plan == "random codes" else target
        forced = [(*place, codes[place][source].unsqueeze(-1)) for place in places]
        with activate_codes(coded, forced, where=at_end), torch.no_grad():
            belief = coded(ends)[:, -1, :DIGITS].softmax(-1)
        known = own[target].sum(-1) > 0  # a state that the test never reached has no distribution
        # SciPy's distance is the divergence's square root.
        gap = jensenshannon(belief[known].cpu(), own[target][known].cpu(), base=2, axis=-1) ** 2
        legal = (belief * first_digit[target]).sum(-1).mean()
        rows.append({"forced": plan, "divergence": float(gap.mean()), "legal_mass": float(legal)})
    return rows


def draw_state_codes(axes, table):
    """Precision against recall: a point a state and seed."""
    for kind, style in styles(["code", "neuron"]):
        rows = table[table["kind"] == kind]
        axes.plot(
            rows["recall"], rows["precision"], linestyle="none", markersize=4, alpha=0.4, label=f"best {kind}", **style
        )
    finish(axes, "recall of the state", "precision")


@paper.claim(machine_codes, figure=draw_state_codes)
def state_codes(table):
    """F1 from precision and recall; a classifier that is never active has none."""
    table = table.dropna(subset=["kind"])
    f1 = 2 * table["precision"] * table["recall"] / (table["precision"] + table["recall"]).clip(lower=1e-12)
    code = table["kind"] == "code"
    return {
        "states_with_a_code_of_their_own": Proportion(int(table["new_code"][code].sum()), int(code.sum())),
        "gain_in_f1_over_neurons": f1[code].mean() - f1[~code].mean(),
        "precision": table["precision"][code].mean(),
    }


@paper.claim(machine_codes, figure=dots("forced", "divergence", ylabel="divergence from the other state (bits)"))
def steering(table):
    """With the codes of all perceptrons: divergence relative to that without intervention; legal mass beside random codes."""
    by_plan = table.dropna(subset=["forced"]).set_index("forced")
    gap, legal = by_plan["divergence"], by_plan["legal_mass"]
    return {
        "divergence_left": gap["all perceptrons"] / max(gap["nothing"], 1e-9),
        "gain_in_legal_mass_over_random_codes": legal["all perceptrons"] - legal["random codes"],
    }


# --- Characters

A_PLAY = "ROMEO:\nShall I hear more?\n\nJULIET:\nWhat is in a name?\n\nNURSE:\nMadam!\n\n" * 40
"""For smoke runs."""


def shouts(text: CharacterText, tokens: Int[Tensor, "count length"]) -> Bool[Tensor, "count length"]:
    """Where a capital follows a capital, as in the names of speakers."""
    capital = torch.tensor([character.isupper() for character in text.alphabet], device=tokens.device)[tokens]
    return capital & functional.pad(capital[:, :-1], (1, 0))


def text_settings(trial: Trial) -> Settings:
    """Sizes of the transformer, its codebooks and its training on text."""
    smoke = {"dim": 16, "layers": 1, "heads": 2, "length": 16, "batch": 8, "steps": 8, "more": 4, "rate": 1e-2,
             "fine_rate": 3e-4, "head_codes": 16, "mlp_codes": 32, "active": 4, "iterations": 1, "sample": 16,
             "test": 16, "drawn": 8}  # fmt: skip
    laptop = smoke | {"dim": 64, "layers": 2, "heads": 4, "length": 32, "batch": 32, "steps": 350, "more": 150,
                      "head_codes": 256, "mlp_codes": 1024, "active": 8, "iterations": 5, "sample": 64, "test": 500,
                      "drawn": 16}  # fmt: skip
    full = laptop | {"dim": 384, "layers": 6, "heads": 6, "length": 256, "batch": 64, "steps": 5_000, "more": 5_000,
                     "rate": 1e-3, "fine_rate": 1e-4, "head_codes": 10_000, "mlp_codes": 10_000, "iterations": 10,
                     "sample": 256, "test": 400, "drawn": 200}  # fmt: skip
    return trial.pick(smoke=smoke, laptop=laptop, full=full)


def text_models(trial: Trial, settings: Settings) -> tuple[CharacterText, CausalTransformer, CausalTransformer]:
    """The text, a plain transformer trained on it, and that one with codebooks, fine-tuned."""
    text = CharacterText(A_PLAY if trial.scale == "smoke" else shakespeare(), trial.device)
    plain = CausalTransformer(
        len(text.alphabet), dim=settings["dim"], layers=settings["layers"], heads=settings["heads"],
        context=settings["length"], generator=trial.generator("model"),
    )  # fmt: skip
    generator = trial.generator("batches")
    stream = text.stream(settings["batch"], settings["length"] + 1, generator)
    train_codebooks(plain, stream, steps=settings["steps"], rate=settings["rate"])
    sample = text.windows(text.train, settings["sample"], settings["length"] + 1, generator)
    return text, plain, with_codebooks(plain, stream, sample, settings, trial)


def plain_and_coded(trial: Trial) -> Rows:
    """Accuracy of the next character on held-out text, of a plain model and of the same with codebooks.

    The plain model is trained on for as many steps as the codebooks are fine-tuned, at two rates; the better on other held-out
    text counts.
    """
    settings = text_settings(trial) | trial.pick(
        smoke={}, laptop={"dim": 32, "layers": 1, "steps": 500, "more": 300}, full={}
    )
    text, plain, coded = text_models(trial, settings)
    generator, length = trial.generator("test"), settings["length"] + 1
    middle = len(text.held_out) // 2
    validation = text.windows(text.held_out[:middle], settings["test"], length, generator)
    test = text.windows(text.held_out[middle:], settings["test"], length, generator)
    stream = text.stream(settings["batch"], length, generator)
    rivals = [copy.deepcopy(plain) for _ in range(2)]
    for rival, rate in zip(rivals, (settings["rate"] / 10, settings["rate"] / 2), strict=True):
        train_codebooks(rival, stream, steps=settings["more"], rate=rate)
    best = min(rivals, key=lambda rival: bits_per_token(rival, validation))
    models = {"plain": best, "codebooks": coded, "without further training": plain}
    return [
        {"model": k, "accuracy": next_token_accuracy(m, test), "bits": bits_per_token(m, test)}
        for k, m in models.items()
    ]


@paper.claim(plain_and_coded, figure=dots("model", "accuracy", ylabel="next character predicted"))
def text_accuracy(table):
    """Relative loss of accuracy, and what the plain model still gains by the further steps."""
    found = table.set_index("model")["accuracy"]
    return {
        "share_of_accuracy_lost": 1 - found["codebooks"] / max(found["plain"], 1e-9),
        "gain_by_further_training": found["plain"] - found["without further training"],
        "accuracy": found["plain"],
    }


def ranked_codes(
    coded: CausalTransformer, seen: Tensor, shouting: Bool[Tensor, " positions"]
) -> tuple[list[tuple[float, str, int, int]], dict[tuple[str, int], Tensor]]:
    """In each codebook the code of greatest F1 for the behaviour, best first; and all its codes as they are in use."""
    ranked: list[tuple[float, str, int, int]] = []
    used: dict[tuple[str, int], Tensor] = {}
    for name, (kept,) in recorded(coded, seen).items():
        codes = kept.codes.flatten(0, 1)
        for group in range(codes.shape[1]):
            f1 = f1_of_codes(codes[:, group], (~shouting).long(), codebooks_of(coded)[name].count, 1)
            ranked.append((float(f1.max()), name, group, int(f1.argmax())))
            used[name, group] = codes[:, group].flatten()
    return sorted(ranked, key=lambda entry: entry[0], reverse=True), used


def controlled_text(trial: Trial) -> dict[str, list[Any]]:
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
    shouting = shouts(text, seen)[:, :-1].flatten()
    ranked, used = ranked_codes(coded, seen, shouting)
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
            shouted = shouts(text, drawn)[:, prompts.shape[1] :]
            for key, value in zip(rows, (size, kind, float(shouted.float().mean())), strict=True):
                rows[key].append(value)
    return rows


@paper.claim(controlled_text, figure=lines("codes", "share", "kind", ylabel="characters drawn: capital after capital"))
def text_control(table):
    """With all codes forced on, beside as many random codes and beside none."""
    share = table.groupby(["codes", "kind"])["share"].last()
    most = table["codes"].max()
    return {
        "gain_over_no_intervention": share[most, "found"] - share[0, "found"],
        "gain_over_random_codes": share[most, "found"] - share[most, "random"],
    }
