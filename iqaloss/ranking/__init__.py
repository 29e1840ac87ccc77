"""Which method is better? Comparisons worth asking for, votes, a ranking of the methods, and who agrees with it."""
