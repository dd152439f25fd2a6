"""From annotated scans to the organ in other scans, in the scans' own geometry."""
