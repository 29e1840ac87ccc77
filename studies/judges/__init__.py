"""How judges are made, and how well they agree with people."""
