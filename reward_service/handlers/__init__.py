"""One file per kind of check. Handlers are pure and synchronous: an item in, an outcome out.

A handler imports the standard library, its own domain's library, `reward_service.types` and
`reward_service.registry`, and the shared `_text` and `_literal`; nothing that does I/O.
"""
