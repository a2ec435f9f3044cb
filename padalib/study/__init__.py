"""What the notebooks share: scales, result tables, claims, figures, and their driver."""
