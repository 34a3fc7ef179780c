"""Networks that make new examples."""
