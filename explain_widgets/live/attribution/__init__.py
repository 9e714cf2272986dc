"""Attributions: what the parts of an input, or of a layer, have to do with the target."""
