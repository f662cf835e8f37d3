"""How do bytes travel? Connections, names, certificates, proxies, bodies, and no secret in what is shown."""
