"""Whether samples are copies of training images."""
