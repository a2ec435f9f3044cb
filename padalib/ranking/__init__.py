"""Scores of architectures, and how well they rank."""
