"""A page a wing: what it is about, its parts, its papers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from replica.lab.catalogue import VERDICTS, WINGS, count_verdicts, find

from .markdown import render
from .parts import contents
from .source import SITE, Source

STORIES = SITE.parent / "stories"

TITLES: dict[str, tuple[str, str]] = {
    "memory": ("Memory", "Associative memories: store patterns, give them back from damaged cues."),
    "plasticity": ("Plasticity", "Learning with local rules in place of backpropagation through the whole network."),
    "continual": ("Continual learning", "Learn one task after the other without losing the earlier ones."),
    "spiking": ("Spiking", "Networks whose units send spikes, and the liquid state machines made of them."),
    "efficiency": ("Efficiency", "Sparse, pruned, binary, grown and compressed networks."),
    "search": ("Search", "Find architectures, hyperparameters and weights: by gradients, populations, evolution."),
    "architectures": ("Architectures", "Building blocks and whole networks, from hypernetworks to state spaces."),
    "kernels": ("Kernels and limits", "Infinitely wide and deep networks, their kernels, and what they can learn."),
    "landscapes": ("Landscapes", "Loss surfaces: neural collapse, connected modes, rich and lazy learning."),
    "representations": ("Representations", "What hidden units and layers represent, and how to compare them."),
    "bayes": ("Bayes", "Uncertainty: posteriors over weights and functions, Gaussian and neural processes."),
    "generative": ("Generative", "Diffusion, flows, bridges and language: models that make new samples."),
    "physics": ("Physics", "Differential equations: operators that solve them, closures, constrained networks."),
    "fields": ("Fields", "Radiance fields, Gaussian splatting and implicit surfaces."),
    "graphs": ("Graphs", "Message passing, sheaves, hypergraphs and link prediction."),
    "brain": ("Brain", "Models of neural circuits and recordings."),
    "control": ("Control", "Reinforcement learning, imitation, planning and motor control."),
    "imaging": ("Imaging", "Segmentation, registration, deblurring and recognition of images."),
    "trust": ("Trust", "Robust, explained and verified networks."),
    "systems": ("Systems", "Where networks run: storage, edges and compilers."),
}


def cards() -> list[dict[str, Any]]:
    """One mapping a wing, those with built papers first: for the landing page and the list of wings."""
    found = []
    for wing in WINGS:
        papers = find(wing=wing)
        built = [record for record in papers if record.status == "built"]
        verdicts = sum((Counter(count_verdicts(record)) for record in built), Counter[str]())
        title, about = TITLES[wing]
        found.append(
            {
                "wing": wing,
                "title": title,
                "about": about,
                "papers": papers,
                "built": built,
                "verdicts": {name: verdicts[name] for name in VERDICTS},
            }
        )
    return sorted(found, key=lambda card: (not card["built"], WINGS.index(card["wing"])))


def write(source: Source) -> None:
    """Write the list of wings and their pages."""
    everything = cards()
    source.write("wings/index.md", render("wings.md", wings=everything))
    for card in everything:
        papers = sorted(card["papers"], key=lambda record: (record.status != "built", -(record.year or 0)))
        rows = [(record, count_verdicts(record)) for record in papers]
        groups = contents(card["wing"]) if card["built"] else ()
        source.write(
            f"wings/{card['wing']}.md",
            render("wing.md", card=card, rows=rows, groups=groups, story=_story(card["wing"])),
        )


def _story(wing: str) -> str:
    """What the wing's page tells before its lists, written by hand in ``docs/stories``; empty where nothing is."""
    path = STORIES / f"{wing}.md"
    return path.read_text() if path.exists() else ""
