"""The demo organization: what `make run` and `adjourn serve --demo` show."""
