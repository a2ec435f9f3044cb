"""What the notebooks share: a folder, or one file, for each question, and what they have in common.

A question's own module says which runs it needs, `configs(scale)`, and makes tables of them,
`analyse`. Beside it in its folder: `plots`, its figures, and where there are many, `verdicts`, its
claims. In common: `scales/` (budgets, seeds, and which questions each asks), `workbook` (what a
notebook calls), `claims`, `effects`, `contests`, `outcomes`, `limits` and `figures`.
"""
