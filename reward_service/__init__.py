"""The service that decides what a reinforcement-learning policy gets rewarded for."""

__version__ = "0.1.0"
