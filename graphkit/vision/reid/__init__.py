"""Re-identification without labels of the target: pseudo labels, and what is done with them."""
