"""Everything random at step t comes from (seed, stream, t), and from nothing else.

So a resumed run needs no generator's state, and adding one stream disturbs no other.
"""

import hashlib

import torch


def derive_seed(seed: int, stream: str, step: int = 0) -> int:
    """Mix a seed, a stream's name and a step into a 63-bit seed."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def random_generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """Make the CPU generator of one stream at one step.

    On the CPU whatever the device, so that every device sees the same numbers.
    """
    return torch.Generator().manual_seed(derive_seed(seed, stream, step))
