"""How like real images samples are, and how varied."""
