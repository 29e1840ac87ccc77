"""The training engine: any task, any number of processes, resumable to the exact step."""
