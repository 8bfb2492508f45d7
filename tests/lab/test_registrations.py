"""Registrations: read from their file, complete, in words that come back, and never changed once there is evidence."""

import datetime

import pytest

from replica.errors import ReplicaError
from replica.lab.claims.registration import read_registrations

WHOLE = """
departures = ["Coins are simulated."]
[half]
sentence = "A coin falls on heads half of the time."
registered = 2026-11-21
setting = "other"
expect.share = "within 0.1 of 0.5"
diagnose.runs = "above 2"
gates.tossed = "above 10"
smallest.share = 0.01
looks = [5, 10]
reported.share = { value = 0.5, where = "Table 1" }
why = "{share:.2f} ({share.low:.1f} to {share.high:.1f}), {runs:.0f} runs."
"""


def read(tmp_path, text):
    path = tmp_path / "my_paper.toml"
    path.write_text(text)
    return read_registrations(path)


def test_a_registration_is_read_whole(tmp_path):
    found = read(tmp_path, WHOLE)
    said = found.claims["half"]
    assert found.departures == ("Coins are simulated.",)
    assert said.registered == datetime.date(2026, 11, 21)
    assert (said.setting, said.looks, said.exact, said.withdrawn) == ("other", (5, 10), False, "")
    assert said.expect["share"].low == pytest.approx(0.4)
    assert said.smallest == {"share": 0.01}
    assert str(said.reported["share"]) == "0.5 (Table 1)"
    assert said.bounds()["gates"] == {"tossed": "above 10"}
    assert said.measures_named == {"share", "runs", "tossed"}


def test_why_is_filled_in_from_the_evidence(tmp_path):
    said = read(tmp_path, WHOLE).claims["half"]
    measured = {"share": {"mean": 0.496, "low": 0.38, "high": 0.61}, "runs": {"mean": 3.2, "low": None, "high": None}}
    assert said.explain(measured) == "0.50 (0.4 to 0.6), 3 runs."
    with pytest.raises(ReplicaError, match=r"Claim half: why .*runs"):
        said.explain({"share": measured["share"]})


def test_a_paper_without_a_file_has_no_claims(tmp_path):
    assert read_registrations(tmp_path / "none.toml").claims == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("registered = 2026-11-21", 'registered = "soon"'), "must be a date such as"),
        (("registered = 2026-11-21", ""), "lacks registered"),
        (('"other"', '"far"'), "setting must be one of own, smaller, other, not 'far'"),
        (('"within 0.1 of 0.5"', '"about half"'), "about half"),
        (("looks = [5, 10]", "looks = [10, 5]"), "rising numbers of seeds"),
        (("looks = [5, 10]", "bound = 3"), "unknown 'bound'"),
        (("smallest.share = 0.01", "smallest.share = 0"), "above 0"),
        (("[half]", "[half"), "no valid TOML"),
        (('["Coins are simulated."]', '"none"'), "departures must be a list"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, change, said):
    assert change[0] in WHOLE
    with pytest.raises(ReplicaError, match=said) as error:
        read(tmp_path, WHOLE.replace(*change))
    assert "my_paper.toml" in str(error.value)
    assert "\n" not in str(error.value)
