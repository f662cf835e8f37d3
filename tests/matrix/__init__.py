"""What has to hold in every environment and on every loop: `make matrix`, and a part of the suite.

These tests need pytest and the library alone, none of what `tests/conftest.py` brings.
"""
