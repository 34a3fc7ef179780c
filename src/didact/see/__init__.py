"""What a trained network looks like inside: its filters, and what it makes of an example layer by layer."""
