"""The OData Web API: HTTP requests become messages and queries, answers become JSON."""
