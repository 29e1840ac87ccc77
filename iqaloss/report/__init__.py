"""What does a person look at afterwards? One HTML file with pictures, charts, tables and what made them."""
