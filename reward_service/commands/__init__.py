"""The commands of `reward-service`, a module each; `reward_service.cli` puts them together."""
