"""Clients of the service for trainers and evaluation scripts. Needs nothing of the service but its schemas."""

from reward_service.client.asynchronous import AsyncClient
from reward_service.client.masks import Group, advantages, group_statistics, scores, valid_mask
from reward_service.client.protocol import ClientError, Reward
from reward_service.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Group",
    "Reward",
    "advantages",
    "group_statistics",
    "scores",
    "valid_mask",
]
