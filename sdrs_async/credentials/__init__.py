"""What signs a request? Tokens and keys, from files, environments and the sign-ins of other libraries."""
