"""Jobs: gather inputs from the store, call the pure core, apply what it says."""
