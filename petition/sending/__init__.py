"""A run: prefetch, rate, retry, worker, and what became of each copy."""
