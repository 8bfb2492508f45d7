import pytest
import torch
from torch import nn

from replica.representations import captured_activations, compare_layers, match_units, unit_samples
from replica.training import conv_net


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=40, seed=5):
    return torch.rand(count, 1, 8, 8, generator=seeded(seed))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Dropout(0.5))

    def forward(self, inputs):
        return self.body(inputs)


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_captures_by_dotted_name_before_later_modules_change_it_in_place():
    model, inputs = Nested().eval(), torch.randn(6, 4, generator=seeded())
    with captured_activations(model, ["body.0", "body.1", "body.1"]) as outputs:
        model(inputs)
        assert hooks(model) == 2
    expected = model.body[0](inputs)
    assert (expected < 0).any()
    torch.testing.assert_close(outputs["body.0"], expected)
    torch.testing.assert_close(outputs["body.1"], expected.relu())
    assert not outputs["body.0"].requires_grad
    assert hooks(model) == 0


def test_hooks_go_when_the_pass_fails():
    model = Nested()
    with pytest.raises(RuntimeError), captured_activations(model, ["body.0"]):
        model(torch.zeros(2, 7))
    assert hooks(model) == 0
    with pytest.raises(RuntimeError):
        compare_layers(model, model, [torch.zeros(2, 7)], ["body.0"])
    assert hooks(model) == 0
    assert model.training


def test_wrong_names_are_told_with_near_ones():
    with (
        pytest.raises(ValueError, match=r"layers: got 'body\.9', want the name of a submodule, such as body"),
        captured_activations(Nested(), ["body.9"]),
    ):
        pass
    lstm = nn.Sequential(nn.LSTM(3, 2))
    with (
        pytest.raises(ValueError, match=r"layers: got '0', which gives out tuple"),
        captured_activations(lstm, ["0"]),
    ):
        lstm(torch.zeros(1, 1, 3))


def test_every_position_is_a_sample():
    maps = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    rows = unit_samples(maps)
    assert rows.shape == (40, 3)
    assert torch.equal(rows[4 * 5 + 2 * 5 + 1], maps[1, :, 2, 1])
    tokens = maps.flatten(2).transpose(1, 2)
    assert torch.equal(unit_samples(tokens, -1), rows)
    assert unit_samples(torch.zeros(7, 3)).shape == (7, 3)
    with pytest.raises(ValueError, match=r"unit_axis: got 0"):
        unit_samples(maps, 0)
    with pytest.raises(ValueError, match=r"unit_axis: got 4"):
        unit_samples(maps, 4)
    with pytest.raises(ValueError, match=r"activations: got shape \(3,\)"):
        unit_samples(torch.zeros(3))


def test_planted_permutation_of_a_network_is_found_again():
    net = conv_net((1, 6, 5), 10, size=(8, 8), generator=seeded())
    twin = conv_net((1, 6, 5), 10, size=(8, 8), generator=seeded(1))
    order = torch.randperm(6, generator=seeded(2))
    with torch.no_grad():
        twin.load_state_dict(net.state_dict())
        twin.conv1.weight.copy_(3 * net.conv1.weight[order])
        twin.conv1.bias.copy_(3 * net.conv1.bias[order])
        twin.conv2.weight.copy_(net.conv2.weight[:, order] / 3)
    torch.testing.assert_close(twin(images()), net(images()))
    first, second = compare_layers(net, twin, images().split(16), ["act1", "act2"])
    found = match_units(first.between)
    assert torch.equal(found.partner, order.argsort())
    torch.testing.assert_close(found.similarity, torch.ones(6, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(second.between.diagonal(), (~second.dead[:5]).double(), atol=1e-5, rtol=0)
    assert first.count == 40 * 64


def test_modes_and_gradients_are_as_before():
    first, second = Nested(), Nested().eval()
    first.body[0].eval()
    batches = [(torch.randn(5, 4, generator=seeded(i)), torch.zeros(5)) for i in range(3)]
    (one,) = compare_layers(first, second, batches, [("body.0", "body.2")])
    assert [module.training for module in first.modules()] == [True, True, False, True, True]
    assert not any(module.training for module in second.modules())
    assert all(parameter.grad is None for parameter in first.parameters())
    # Dropout was off: the statistics are those of the network in evaluation mode.
    inputs = torch.cat([batch for batch, _ in batches])
    torch.testing.assert_close(one.mean[3:], second.body[:2](inputs).double().mean(0).detach(), atol=1e-6, rtol=0)


def test_a_network_with_itself_runs_once_and_matches_itself():
    net, passes = conv_net((1, 4), 3, size=(8, 8), generator=seeded()), []
    net.register_forward_hook(lambda *_: passes.append(1))
    (own,) = compare_layers(net, net, [images()], ["act1"])
    assert len(passes) == 1
    torch.testing.assert_close(own.between.diagonal(), (~own.dead[:4]).double())


def test_shuffled_samples_leave_chance_and_a_generator_repeats_them():
    net = conv_net((1, 4), 3, size=(8, 8), generator=seeded())
    runs = [compare_layers(net, net, images().split(20), ["act1"], shuffle=seeded(s))[0].between for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert runs[0].abs().max() < 6 / (40 * 64) ** 0.5


def test_nothing_to_compare_is_told():
    net = conv_net((1, 4), 3, generator=seeded())
    with pytest.raises(ValueError, match=r"batches: got none"):
        compare_layers(net, net, [], ["act1"])
    with pytest.raises(ValueError, match=r"layers: got none"):
        compare_layers(net, net, [images()], [])
    pooled = conv_net((1, 4, 4), 3, pool_after=(1,), generator=seeded())
    with pytest.raises(ValueError, match=r"second: got 640 samples, want 2560 as in first"):
        compare_layers(pooled, pooled, [images()], [("act1", "act2")])
