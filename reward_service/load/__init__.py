"""`reward-service load`: rollouts with known rewards, sent at a given rate, and what came of them."""
