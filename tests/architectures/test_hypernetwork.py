import copy
import math

import pytest
import torch
from torch import nn

from replica.architectures import Hypernetwork, constant_norm_encoding
from replica.training import mlp

FORMS = ("magnitude-invariant", "encoded", "additive", "plain")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(dtype=torch.float32, seed=7):
    return mlp((6, 5, 3), activation=nn.Tanh, generator=seeded(seed), dtype=dtype)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


# --- What it computes


def by_hand(hypernet, condition, shapes):
    """θ(γ) layer by layer from the state, without any module."""
    state = hypernet.state_dict()
    weights = [value for name, value in state.items() if name.startswith("network") and name.endswith("weight")]
    biases = [value for name, value in state.items() if name.startswith("network") and name.endswith("bias")]
    features = torch.as_tensor(condition, dtype=weights[0].dtype)
    if hypernet.form in ("magnitude-invariant", "encoded"):
        features = torch.cat([torch.cos(math.pi / 2 * features), torch.sin(math.pi / 2 * features)])
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        features = weight @ (torch.where(features > 0, features, 0.01 * features) if place else features) + bias
    parts, start = [], 0
    for shape in shapes:
        parts.append(features[start : start + math.prod(shape)].view(shape))
        start += math.prod(shape)
    assert start == len(features)
    return parts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_and_output_are_those_computed_by_hand(form, dtype):
    hypernet = Hypernetwork(small(dtype), 2, form=form, hidden=(4, 7), generator=seeded())
    for layer in hypernet.network[::2]:
        nn.init.normal_(layer.bias, generator=seeded(1))
    condition = torch.tensor([0.3, 0.9], dtype=dtype)
    w1, b1, w2, b2 = by_hand(hypernet, condition, [(5, 6), (5,), (3, 5), (3,)])
    inputs = torch.randn(4, 6, generator=seeded(2), dtype=dtype)
    torch.testing.assert_close(hypernet.weights(condition)["2.weight"], w2)
    torch.testing.assert_close(hypernet(inputs, condition), torch.tanh(inputs @ w1.T + b1) @ w2.T + b2)


def test_without_hidden_layers_it_is_linear_in_the_code():
    hypernet = Hypernetwork(nn.Linear(4, 3, dtype=torch.float64), hidden=(), generator=seeded())
    layer = hypernet.network[0]
    gammas = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]
    expected = constant_norm_encoding(gammas) @ layer.weight.T + layer.bias
    torch.testing.assert_close(hypernet.flat_weights(gammas), expected)


@pytest.mark.parametrize("form", ["plain", "additive"])
@pytest.mark.parametrize("activation", [nn.LeakyReLU, nn.ReLU])
@pytest.mark.parametrize("conditions", [1, 3])
def test_change_is_proportional_to_the_condition_without_encoding(form, activation, conditions):
    hypernet = Hypernetwork(
        small(torch.float64), conditions, form=form, activation=activation, hidden=(8, 8), generator=seeded()
    )
    gamma = torch.rand(5, conditions, generator=seeded(1), dtype=torch.float64)
    change = hypernet.flat_weights(gamma) - hypernet.base
    for factor in (0.01, 0.5, 3.0):
        torch.testing.assert_close(hypernet.flat_weights(factor * gamma) - hypernet.base, factor * change)
    assert (hypernet.base == 0).all() == (form == "plain")


@pytest.mark.parametrize("form", ["magnitude-invariant", "encoded"])
def test_change_is_of_one_size_with_encoding(form):
    # The mean square over initial weights is the same for every condition, as that of the code is.
    gammas = torch.tensor([[0.01], [0.1], [0.5], [1.0]])
    squares = [
        (hypernet.flat_weights(gammas) - hypernet.base).detach().square().mean(-1)
        for hypernet in (Hypernetwork(small(), form=form, generator=seeded(seed)) for seed in range(300))
    ]
    mean = torch.stack(squares).mean(0)
    assert (mean / mean.mean() - 1).abs().max() < 0.15


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_have_the_parameters_that_the_sizes_say(form):
    hypernet = Hypernetwork(small(), 2, form=form, hidden=(4, 7), generator=seeded())
    inputs = 4 if form in ("magnitude-invariant", "encoded") else 2
    written = 6 * 5 + 5 + 5 * 3 + 3
    assert parameters_of(hypernet) == (inputs + 1) * 4 + 5 * 7 + 8 * written
    assert not list(hypernet.primary.parameters())


# --- Where it starts


def test_authors_initial_scale():
    primary = nn.Linear(40, 50)
    hypernet = Hypernetwork(primary, hidden=(64, 512), generator=seeded())
    first, second, output = hypernet.network[0], hypernet.network[2], hypernet.network[4]
    for weight, fan_out in (
        (first.weight, 64),
        (second.weight, 512),
        (output.weight[:2000], 2000),
        (output.weight[2000:], 50),
    ):
        variance = weight.detach().square().mean()
        assert float(variance) == pytest.approx(2 / fan_out, rel=6 / math.sqrt(weight.numel() / 2))
    assert not any(layer.bias.any() for layer in (first, second))
    assert torch.equal(hypernet.base.detach(), torch.cat([primary.weight.flatten(), primary.bias]).detach())


def test_output_at_the_scale_of_the_primary():
    primary = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 2, bias=False))
    nn.init.constant_(primary[0].bias, 3.0)
    ratios = []
    for seed in range(200):
        hypernet = Hypernetwork(primary, form="plain", output_scale="primary", hidden=(32, 64), generator=seeded(seed))
        with torch.no_grad():
            weights = hypernet.weights(1.0)
        ratios.append([float((weights[name] / own.square().mean().sqrt()).square().mean())
                       for name, own in primary.state_dict().items()])  # fmt: skip
    mean = torch.tensor(ratios).mean(0)
    assert (mean - 1).abs().max() < 0.15


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("form", ["magnitude-invariant", "additive"])
def test_without_change_it_is_the_primary_network(form, training):
    primary = convolutional().train(training)
    hypernet = Hypernetwork(primary, form=form, generator=seeded())
    nn.init.zeros_(hypernet.network[-1].weight)
    images = torch.rand(6, 1, 4, 4, generator=seeded())
    assert torch.equal(hypernet(images, 0.7), primary(images))
    assert torch.equal(hypernet.primary[1].running_mean, primary[1].running_mean)
    if not training:
        torch.testing.assert_close(hypernet(images, torch.rand(6, 1)), primary(images))


def test_primary_given_is_left_alone():
    primary = convolutional()
    before = copy.deepcopy(primary.state_dict())
    hypernet = Hypernetwork(primary, generator=seeded())
    hypernet(torch.rand(6, 1, 4, 4), 0.2).sum().backward()
    for name, value in primary.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in primary.parameters())


# --- One condition a sample


class Two(nn.Module):
    """Two results, one of them a feature map; an option."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(1, 2, 3, padding=1, dtype=torch.float64)
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, inputs, shift=0.0):
        maps = self.layer(inputs) * self.scale
        return maps, {"mean": maps.mean((1, 2)) + shift}


@pytest.mark.parametrize("form", FORMS)
def test_conditions_a_sample_are_a_loop_over_samples(form):
    torch.manual_seed(0)
    hypernet = Hypernetwork(Two(), 2, form=form, hidden=(5,), generator=seeded())
    inputs = torch.randn(4, 1, 6, generator=seeded(1), dtype=torch.float64)
    gammas = torch.rand(4, 2, generator=seeded(2), dtype=torch.float64)
    maps, rest = hypernet(inputs, gammas, shift=2.0)
    loop = [hypernet(sample[None], gamma, shift=2.0) for sample, gamma in zip(inputs, gammas, strict=True)]
    torch.testing.assert_close(maps, torch.cat([one for one, _ in loop]))
    torch.testing.assert_close(rest["mean"], torch.cat([other["mean"] for _, other in loop]))
    ours = torch.autograd.grad(maps.square().sum(), list(hypernet.parameters()))
    theirs = torch.autograd.grad(sum(one.square().sum() for one, _ in loop), list(hypernet.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_equal_conditions_a_sample_are_one_for_the_batch():
    hypernet = Hypernetwork(small(), 2, generator=seeded())
    inputs = torch.randn(5, 6, generator=seeded(1))
    gamma = torch.tensor([0.2, 0.8])
    torch.testing.assert_close(hypernet(inputs, gamma.expand(5, 2)), hypernet(inputs, gamma))


def test_batch_normalisation_in_training_wants_one_condition():
    hypernet = Hypernetwork(convolutional(), generator=seeded())
    images = torch.rand(6, 1, 4, 4, generator=seeded())
    with pytest.raises(ValueError, match=r"^conditions: got one a sample with batch normalisation .* \(1\)"):
        hypernet(images, torch.rand(6, 1))
    before = hypernet.primary[1].running_mean.clone()
    hypernet(images, 0.5)
    assert not torch.equal(hypernet.primary[1].running_mean, before)
    assert hypernet.eval()(images, torch.rand(6, 1)).shape == (6, 3)


def test_gradients():
    hypernet = Hypernetwork(small(torch.float64), 2, hidden=(4,), activation=nn.Tanh, generator=seeded())
    inputs = torch.randn(3, 6, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    for shape in ((2,), (3, 2)):
        gammas = torch.rand(shape, generator=seeded(2), dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(hypernet, (inputs, gammas))
    weight = hypernet.network[0].weight

    def of_weight(value):
        return torch.func.functional_call(hypernet, {"network.0.weight": value}, (inputs.detach(), gammas.detach()))

    assert torch.autograd.gradcheck(of_weight, (weight.detach().clone().requires_grad_(),))


# --- Conditions


@pytest.mark.parametrize("form", FORMS)
def test_range_of_conditions_is_brought_to_zero_one(form):
    wide = Hypernetwork(small(), 2, form=form, low=[-1.0, 10.0], high=[3.0, 20.0], generator=seeded())
    unit = Hypernetwork(small(), 2, form=form, generator=seeded())
    torch.testing.assert_close(
        wide.flat_weights(torch.tensor([0.0, 17.5])), unit.flat_weights(torch.tensor([0.25, 0.75]))
    )


def test_weights_of_many_conditions_at_once():
    hypernet = Hypernetwork(small(), generator=seeded())
    gammas = torch.rand(2, 4, 1, generator=seeded())
    weights = hypernet.weights(gammas)
    assert list(weights) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert weights["0.weight"].shape == (2, 4, 5, 6)
    torch.testing.assert_close(weights["2.bias"][1, 3], hypernet.weights(gammas[1, 3])["2.bias"])
    torch.testing.assert_close(hypernet.flat_weights(0.25), hypernet.flat_weights(torch.tensor([0.25])))


def test_fixed_copy_is_the_network_at_that_condition():
    hypernet = Hypernetwork(convolutional().eval(), generator=seeded())
    images = torch.rand(6, 1, 4, 4, generator=seeded())
    fixed = hypernet.primary_at(0.4)
    assert torch.equal(fixed(images), hypernet(images, 0.4))
    plain = convolutional().eval()
    plain.load_state_dict(fixed.state_dict())
    assert torch.equal(plain(images), fixed(images))
    fixed(images).sum().backward()
    assert hypernet.base.grad is None


# --- Which parameters


def test_only_the_parameters_that_match_are_written():
    primary = small()
    hypernet = Hypernetwork(primary, parameters="*.weight", generator=seeded())
    assert list(hypernet.weights(0.5)) == ["0.weight", "2.weight"]
    assert {name for name, _ in hypernet.primary.named_parameters()} == {"0.bias", "2.bias"}
    hypernet(torch.rand(2, 6), 0.5).sum().backward()
    assert all(parameter.grad is not None for parameter in hypernet.parameters())
    assert list(Hypernetwork(primary, parameters=("2.*", "0.bias")).weights(0.5)) == ["0.bias", "2.weight", "2.bias"]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Linear(4, 4, bias=False)
        self.up = nn.Linear(4, 4, bias=False)
        self.up.weight = self.down.weight

    def forward(self, inputs):
        return self.up(torch.tanh(self.down(inputs)))


def test_shared_parameters_stay_shared():
    hypernet = Hypernetwork(Tied(), generator=seeded())
    weights = hypernet.weights(0.3)
    assert list(weights) == ["down.weight"]
    inputs = torch.rand(3, 4, generator=seeded())
    shared = weights["down.weight"]
    torch.testing.assert_close(hypernet(inputs, 0.3), torch.tanh(inputs @ shared.T) @ shared.T)
    fixed = hypernet.primary_at(0.3)
    assert fixed.up.weight is fixed.down.weight


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("primary", [nn.LSTM(4, 5, batch_first=True), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)])
def test_layers_with_ways_of_their_own_can_be_primary(primary):
    hypernet = Hypernetwork(primary, generator=seeded())
    nn.init.zeros_(hypernet.network[-1].weight)
    inputs = torch.rand(3, 6, 4, generator=seeded())
    ours, theirs = hypernet(inputs, 0.5), primary(inputs)
    first, second = (value[0] if isinstance(value, tuple) else value for value in (ours, theirs))
    assert torch.equal(first, second)


# --- Habits


@pytest.mark.parametrize("form", FORMS)
def test_state_goes_into_a_fresh_one(form):
    first = Hypernetwork(convolutional(), form=form, parameters="0.*", generator=seeded())
    first(torch.rand(6, 1, 4, 4, generator=seeded()), 0.5)
    second = Hypernetwork(convolutional(), form=form, parameters="0.*", generator=seeded(1))
    second.load_state_dict(first.state_dict())
    images = torch.rand(6, 1, 4, 4, generator=seeded(2))
    assert torch.equal(first.eval()(images, 0.1), second.eval()(images, 0.1))


def test_same_generator_same_numbers_and_global_state_untouched():
    primary = small()
    before = torch.get_rng_state()
    nets = [Hypernetwork(primary, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (net.flat_weights(0.5) for net in nets)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_type_follows_the_module():
    hypernet = Hypernetwork(small(), generator=seeded()).double()
    assert hypernet(torch.rand(2, 6, dtype=torch.float64), 0.5).dtype == torch.float64
    assert hypernet.flat_weights(torch.tensor([0.5])).dtype == torch.float64


def test_it_stacks_under_vmap():
    nets = [Hypernetwork(small(), generator=seeded(seed)) for seed in range(3)]
    state = torch.func.stack_module_state(nets)
    inputs = torch.rand(4, 6, generator=seeded())

    def call(parameters, buffers):
        return torch.func.functional_call(nets[0], (parameters, buffers), (inputs, 0.3))

    torch.testing.assert_close(torch.vmap(call)(*state), torch.stack([net(inputs, 0.3) for net in nets]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": 0}, "conditions: got 0"),
        ({"hidden": (4, 0)}, r"hidden: got \(4, 0\)"),
        ({"form": "mip"}, "form: got 'mip', want one of magnitude-invariant, encoded, additive, plain"),
        ({"output_scale": "big"}, "output_scale: got 'big'"),
        ({"parameters": "3.*"}, r"parameters: got \('3\.\*',\), want .* 0.weight, 0.bias"),
        ({"low": 1.0}, "low: got 1.0 with high 1.0"),
        ({"low": [0.0, 0.0]}, r"low: got shape \(2,\)"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Hypernetwork(small(), **options)


def test_primary_of_two_types_is_refused():
    with pytest.raises(ValueError, match=r"^primary: got parameters of .*float32.*float64"):
        Hypernetwork(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, dtype=torch.float64)))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (5, 3), (5, 1, 2), ()])
def test_conditions_of_a_wrong_shape_are_named(shape):
    hypernet = Hypernetwork(small(), 2, generator=seeded())
    with pytest.raises(ValueError, match=r"^conditions: got shape"):
        hypernet(torch.rand(5, 6), torch.rand(shape))


def test_fixed_copy_wants_one_condition():
    with pytest.raises(ValueError, match=r"^conditions: got shape"):
        Hypernetwork(small()).primary_at(torch.rand(2, 1))
