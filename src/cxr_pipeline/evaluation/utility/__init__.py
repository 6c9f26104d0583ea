"""Whether synthetic images help to train a classifier."""
