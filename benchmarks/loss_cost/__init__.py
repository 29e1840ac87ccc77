"""What a loss costs in a training step, ours beside its peers, in one run on the same input.

``python -m benchmarks.loss_cost --help`` says what is measured and how to have the peers at hand.
"""
