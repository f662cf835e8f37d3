"""Tokens from IAM: clouds.yaml and `OS_*` as openstacksdk reads them, every sign-in method that keystoneauth knows."""

from sdrs_async.credentials.keystone.auth import KeystoneAuth

__all__ = ["KeystoneAuth"]
