"""The two runtimes inside the sandbox, driven here without one: only ever with programs of our own."""
