"""The user-space driver: transports, bring-up, mailbox, and the dump callback."""
