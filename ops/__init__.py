"""What an operator puts around repzone: units, snippets, dashboards, the demo log."""
