"""The architectures: one folder a chapter, one file an architecture, each whole in itself."""
