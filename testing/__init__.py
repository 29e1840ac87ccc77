"""What tests and benchmarks share: cases, costs, tiny data, golden outputs."""
