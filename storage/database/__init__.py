"""The database: tables, engines, the unit of work and one repository per noun; SQLite and PostgreSQL alike."""
