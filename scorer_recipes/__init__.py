"""How the weights inside the package were made; not installed."""
