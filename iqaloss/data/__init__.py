"""Which pictures, with which human scores? Tables, published sets, folders and shards, through one door."""
