"""The layouts in which rated image sets are published."""
