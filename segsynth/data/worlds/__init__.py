"""Procedural worlds: any index renders the same example bit for bit, without a download."""
