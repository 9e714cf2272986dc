"""From small tensors to bytes: quantising, mosaics, colour maps."""
