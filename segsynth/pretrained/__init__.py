"""Published networks for inference: their definitions, and converters for their weights."""
