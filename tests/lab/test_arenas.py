from replica.lab.studies import Arena


def test_at_smoke_scale_a_sweep_has_every_name_but_the_first_number_alone():
    comparison = Arena("credit").compare({"backprop": "backprop"}).over(network=("mlp", "conv"), depth=(2, 4))
    assert list(comparison.points("smoke")) == [{"network": "mlp", "depth": 2}, {"network": "conv", "depth": 2}]
    assert len(list(comparison.points("laptop"))) == 4
