"""HTTP server around the API: request log, control endpoint, and the wire itself."""
