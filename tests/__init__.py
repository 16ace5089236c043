"""The tests, and the throw-away servers that they run against.

A real package, so that no other distribution's top-level ``tests`` can stand before it.
"""
