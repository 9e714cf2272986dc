"""The explorers: traits, requests and replies."""
