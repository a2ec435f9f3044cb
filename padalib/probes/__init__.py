"""Gradient variance, sampled and exact, and what a step costs."""
