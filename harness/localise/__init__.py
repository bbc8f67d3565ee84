"""Where a wrong output comes from: a model is cut open, and both sides run the pieces."""
