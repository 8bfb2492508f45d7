"""What a change touches is found, and what it does not touch is left out."""

from tests.changed import changed_names, touched_papers, touched_tests

HOPULAR = {"replica.memory.hopular": {"Hopular"}}


def test_names_that_changed():
    before = "import math\nA = 1\ndef f():\n    return A\n\nclass C: ...\n"
    assert changed_names(before, before + "# a comment\n") == set()
    assert changed_names(before, before.replace("A = 1", "A = 2") + "def g(): ...\n") == {"A", "g"}
    assert changed_names(before, before + "print(A)\n") == {""}
    assert changed_names(before, "") == {"math", "A", "f", "C"}


def test_papers_whose_closure_changed():
    found = set(touched_papers([], HOPULAR))
    assert "hopular" in found
    assert "dense_hebbian" not in found
    assert set(touched_papers(["src/replica/evidence/memory/sparsey.json"], {})) == {"sparsey"}
    assert not set(touched_papers([], {"replica.memory.hopular": set()}))


def test_tests_of_a_source():
    found = set(touched_tests(["src/replica/memory/hopular.py"], HOPULAR))
    assert {"tests/memory/test_hopular.py", "tests/papers/memory/test_hopular.py"} <= found
    assert "tests/memory/test_sparsey.py" not in found
    assert set(touched_tests(["tests/memory/test_sparsey.py", "tests/gone/test_gone.py"], {})) == {
        "tests/memory/test_sparsey.py"
    }
    assert set(touched_tests(["docs/generate/papers.py"], {})) == {"tests/site"}
