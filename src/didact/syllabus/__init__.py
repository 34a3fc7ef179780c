"""The map from what the course teaches to where it lives."""
