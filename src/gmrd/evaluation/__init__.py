"""From predictions to scores, tables and reports."""
