"""What hosts and people may ask for, by what it is about; `serve` finds the rule."""
