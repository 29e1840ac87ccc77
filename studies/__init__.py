"""One-off studies: each answered a question once; its results lie beside it."""
