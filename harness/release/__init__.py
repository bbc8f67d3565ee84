"""Who signs: whether a run may carry a release, the document that says so, and the evidence behind it."""
