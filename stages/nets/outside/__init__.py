"""Nets from elsewhere, as modules that take our images and give logits of our classes."""
