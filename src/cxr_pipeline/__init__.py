"""From NIH's ChestX-ray14 label file to trained, tracked generative models of chest X-rays."""

__version__ = "0.1.0"
