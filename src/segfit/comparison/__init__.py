"""From run folders to tables, figures and the report: facts are read, never recomputed."""
