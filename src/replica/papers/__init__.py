"""One file a paper: its entries, its claims, its figures. The methods themselves live in the wings."""
