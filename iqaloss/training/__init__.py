"""How scorers learn: data, objectives and the training of the embedded default."""
