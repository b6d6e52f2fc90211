#!/bin/sh
# Makes the secrets of a new stack, once: Redis' password, Grafana's, and a key with which Prometheus reads metrics.
#
# What is decided here: nobody has to think of a password, and none stands in a file of the repository, in an
# environment variable or on a command line. They lie in two volumes, which only the containers that need them mount:
# `secrets`, and `keys` with the hashes of the API keys. What is there already is kept.
set -eu
umask 022

random() {
  if [ ! -s "$1" ]; then
    head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$1.new"
    mv "$1.new" "$1"
  fi
}

random /run/secrets/reward_service_redis_password
random /run/secrets/grafana_password
if [ ! -s /run/secrets/prometheus_key ]; then
  reward-service keys create prometheus --scope read --file /run/keys/keys.json > /run/secrets/prometheus_key.new
  mv /run/secrets/prometheus_key.new /run/secrets/prometheus_key
fi
