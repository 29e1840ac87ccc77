"""PMT-IQA's ablations and LAR-IQA's two heads, on real human scores: python -m studies.ablations."""
