"""The stand-in product: small, but it uses its cloud as the real one does."""
