"""From tensors to small tensors, on the device they are on; pure functions of tensors."""
