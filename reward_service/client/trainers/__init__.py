"""Small functions and classes for trainers that take Python instead of a URL; one module for each.

All of them find the service by `REWARD_SERVICE_URL` (default `http://127.0.0.1:8080`) and, if it wants one, the key in
`REWARD_SERVICE_API_KEY`; arguments win. None imports its trainer, opens a socket when imported, or keeps a connection across
event loops or processes. What each trainer does with an item that could not be judged is in docs/trainers/.
"""
