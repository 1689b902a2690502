"""Tables, columns, choices and relationships as data: the one source of DDL, name resolution, validation and labels."""
