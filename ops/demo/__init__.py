"""The demo log, `mail.log.gz`, and the generator that writes it."""
