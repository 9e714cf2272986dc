"""The live model: what runs it and records it; knows no widget."""
