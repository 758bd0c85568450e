"""Discord's limits as several runs and clusters share them."""
