"""How is a restoration network of yours fine-tuned? Any checkpoint in, a checkpoint of the same kind out."""
