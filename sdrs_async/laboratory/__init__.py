"""A laboratory in virtual time: models of the gateway, and the real engine run against them. No socket, no waiting."""
