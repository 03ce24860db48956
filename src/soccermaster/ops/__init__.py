"""Stateless torch functions without soccer knowledge."""
