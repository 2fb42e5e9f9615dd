"""What every run needs: checkpoints, sharding, writers, image grids, optimizers."""
