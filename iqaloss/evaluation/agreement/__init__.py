"""How well predictions agree with human scores."""
