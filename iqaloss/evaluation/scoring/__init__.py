"""Scores of any number of images, resumable, on any number of processes."""
