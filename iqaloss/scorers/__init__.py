"""How does a picture become a score? One folder for each published model."""
