"""What tests share: builders, runners and references, never tests themselves."""
