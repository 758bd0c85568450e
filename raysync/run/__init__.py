"""What starts a run and prepares it: the driver, its requests and keys. Never imports Ray."""
