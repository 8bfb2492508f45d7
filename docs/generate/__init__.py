"""The site's pages that are made from the catalogue, the evidence, the recorded comparisons and the code."""
