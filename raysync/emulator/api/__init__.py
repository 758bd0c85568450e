"""Discord's REST API: routes, their handlers, and the answers in Discord's own words."""
