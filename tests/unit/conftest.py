from tests.unit.apps import eager, small

__all__ = ["eager", "small"]
