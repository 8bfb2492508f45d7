"""The lab: where sentences of papers become tested claims and methods compete on shared problems."""
