"""What is true of the service? Its calls and hosts, what its answers mean, its lists, and the client that asks."""
