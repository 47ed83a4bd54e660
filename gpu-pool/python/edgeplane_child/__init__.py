"""The model process: it runs one Cog model and speaks PROTOCOL.md with the pool. Standard library only."""
