"""The server: how a request reaches a resource."""
