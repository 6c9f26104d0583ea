"""Whether samples are copies of training images: distances, flags, their power, and the release."""
