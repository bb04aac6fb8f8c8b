"""segfit fits semantic-segmentation models to the hardware you have, and tells you which one to keep."""

__version__ = "0.1.0"
