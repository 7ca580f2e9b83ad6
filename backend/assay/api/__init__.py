"""The HTTP API: routes, sign-in, problem details, OpenAPI and live events."""
