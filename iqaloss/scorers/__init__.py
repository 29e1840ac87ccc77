"""How does a picture become a score? One file for each published model."""
