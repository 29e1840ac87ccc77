"""How easily is a loss gamed? Its score raised with and without a network, and what the panel says of the pictures."""
