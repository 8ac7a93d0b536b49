"""Helpers of the tests themselves."""
