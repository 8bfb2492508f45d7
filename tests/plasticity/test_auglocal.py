import pytest
import torch
from torch import nn

from replica.plasticity import AugLocal, selected_layers, tapered_depths
from replica.training import mlp


@pytest.mark.parametrize("layers", [2, 5, 12, 16, 55])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_uniform_selection_is_even_and_ends_at_the_last_layer(layers, depth):
    for after in range(layers - 1):
        chosen = selected_layers(after, layers, depth)
        assert len(chosen) == min(depth, layers - 1 - after)
        assert chosen[-1] == layers - 1
        steps = [later - earlier for earlier, later in zip((after, *chosen), chosen, strict=False)]
        assert min(steps) >= 1
        assert max(steps) - min(steps) <= 1


def test_selection_at_the_papers_sizes():
    """ResNet-32 (16 layers) at d = 2 and 3, worked out by hand from the rule."""
    assert selected_layers(0, 16, 2) == (8, 15)  # 7.5 and 15
    assert selected_layers(0, 16, 3) == (5, 10, 15)
    assert selected_layers(5, 16, 3) == (8, 12, 15)  # 8.33, 11.67, 15
    assert selected_layers(13, 16, 3) == (14, 15)


def test_other_selections():
    assert selected_layers(2, 12, 3, "sequential") == (3, 4, 5)
    assert selected_layers(10, 12, 3, "sequential") == (11,)
    assert selected_layers(2, 12, 3, "repeated") == (2, 2, 2)
    assert selected_layers(11, 12, 3) == selected_layers(11, 12, 3, "repeated") == ()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((12, 12, 3), "after"), ((-1, 12, 3), "after"), ((0, 12, -1), "depth"), ((0, 12, 3, "best"), "selection")],
)
def test_wrong_selections_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"{named}: got"):
        selected_layers(*arguments)


def test_depths_fall_linearly():
    assert tapered_depths(16, 5, 0.0) == (5,) * 15
    assert tapered_depths(16, 15, 1.0) == tuple(range(15, 0, -1))
    for blocks in (1, 2, 3, 12, 55):
        for depth in (1, 2, 9):
            depths = tapered_depths(blocks, depth, 0.5)
            assert len(depths) == blocks - 1
            assert list(depths) == sorted(depths, reverse=True)
            assert all(1 <= own <= depth for own in depths)
            assert not depths or depths[0] == depth
            assert len(depths) < 2 or depths[-1] == round((depth + 1) / 2)
    assert tapered_depths(5, 0) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "named"), [((0, 3), "blocks"), ((4, -1), "depth"), ((4, 3, 1.1), "taper"), ((4, 3, -0.1), "taper")]
)
def test_wrong_depths_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"{named}: got"):
        tapered_depths(*arguments)


def test_the_authors_numbers_of_blocks():
    """ResNet-32 by the script for CIFAR-10 (the last d + 1 layers together) and layer by layer; rules worked out by hand."""
    net = mlp((5, *[6] * 16, 3), generator=torch.Generator().manual_seed(0))
    together = AugLocal(net, torch.zeros(2, 5), depth=3, last=4)
    assert len(together.blocks) == 13
    assert [len(chosen) for chosen in together.selected] == [3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2]  # 3 − k / 11 up to 2
    assert together.selected[0] == (5, 10, 15)
    assert together.selected[11] == (13, 15)
    single = AugLocal(net, torch.zeros(2, 5), depth=3)
    assert len(single.blocks) == 16
    assert single.selected[14] == (15,)
    with pytest.raises(ValueError, match="last: got 17"):
        AugLocal(net, torch.zeros(2, 5), last=17)


def test_auxiliary_networks_have_the_forms_of_the_selected_layers():
    net = mlp((5, 6, 7, 8, 9, 3), activation=nn.Tanh, generator=torch.Generator().manual_seed(0))
    trainer = AugLocal(net, torch.zeros(2, 5), depth=2, taper=0.0, generator=torch.Generator().manual_seed(1))
    assert trainer.selected == ((2, 3), (2, 3), (3,))
    weights = [
        [tuple(parameter.shape) for parameter in auxiliary.parameters() if parameter.ndim > 1]
        for auxiliary in trainer.auxiliaries
    ]
    assert weights == [
        [(7, 6), (8, 7), (9, 8), (3, 9)],  # the linear map from 6 to the 7 values that layer 3 takes comes first
        [(8, 7), (9, 8), (3, 9)],
        [(9, 8), (3, 9)],
    ]


def test_blocks_select_from_what_follows_them():
    net = mlp((5, *[6] * 12, 3), generator=torch.Generator().manual_seed(0))
    trainer = AugLocal(net, torch.zeros(2, 5), depth=3, blocks=4, taper=1.0)
    assert trainer.selected == ((5, 8, 11), (8, 11), (11,))


def test_the_network_itself_is_left_as_it_was():
    net = mlp((5, 6, 6, 3), generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    AugLocal(net, torch.zeros(2, 5))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
