"""Learn the places along a path, and draw queries beside the places that they are matched with.

python examples/recognise_places.py matches.png
"""

import sys

import numpy as np
import torch
from matplotlib.figure import Figure

from replica.data import traverses
from replica.spiking import PlaceEnsemble, match_precision, patch_normalise

REGIONS, PLACES = 5, 25

path = traverses(REGIONS * PLACES, np.random.default_rng(0), photographs=("china", "flower"), window=48)
morning, afternoon, dusk = (patch_normalise(images) for images in path.images)
places = torch.arange(len(path))

generator = torch.Generator().manual_seed(0)
# Thresholds that adapt fast share the work among more neurons, and leave some that answer to everything.
ensemble = PlaceEnsemble(28 * 28, REGIONS, places=PLACES, threshold_step=0.004, drive=0.05, generator=generator)
ensemble.fit(torch.cat([morning, afternoon]), places.repeat(2), epochs=8, generator=generator)

responses = ensemble.respond(dusk, generator=generator)
before = ensemble.scores(responses)
ensemble.remove_hyperactive(0.16)
after = ensemble.scores(responses)
print(f"{1 - float(ensemble.kept.float().mean()):.0%} of the neurons answer to 16 % of the reference images or more.")
print(f"Matched right with them: {match_precision(before, places):.0%}; without: {match_precision(after, places):.0%}.")

shown = np.random.default_rng(1).permutation(len(path))[:8]
figure = Figure(figsize=(10, 4.2), layout="constrained")
axes = figure.subplots(3, len(shown))
for column, query in zip(axes.T, shown, strict=True):
    found = [int(scores[query].argmax()) for scores in (before, after)]
    images = (path.images[2, query], *(path.images[0, place] for place in found))
    for axis, image, label in zip(column, images, (query, *found), strict=True):
        axis.imshow(image, cmap="gray")
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"place {label}", fontsize=9, color="black" if label == query else "tab:red")
for axis, label in zip(axes[:, 0], ("query", "all neurons", "hyperactive\nremoved"), strict=True):
    axis.set_ylabel(label, fontsize=9)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "matches.png")
