"""What a training is, as data: plain dataclasses that know nothing of tasks and engines."""
