"""How does a score become a loss? The equations, the frozen scorer around them, and names and weights."""
