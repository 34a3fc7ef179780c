"""From what was recorded to findings, a file a family of causes."""
