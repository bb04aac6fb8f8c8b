"""``segfit data download``: datasets from the network onto the disk, whole and checked, or not at all."""
