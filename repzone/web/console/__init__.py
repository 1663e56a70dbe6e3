"""The operator's console: what holds, what happened and why, and acts by hand; for those whom the operator lets in."""
