"""Training: from pairs of images and labels to a model."""

from .loop import fine_tune

__all__ = ["fine_tune"]
