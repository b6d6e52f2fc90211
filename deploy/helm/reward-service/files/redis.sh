#!/bin/sh
# Redis with one ACL user whose password is in a file. Nobody else may do anything, and that user may not administer.
set -eu
umask 077
password=$(sha256sum < /run/secrets/reward_service_redis_password | cut -d ' ' -f 1)
{
  echo "user default off"
  echo "user reward on #$password ~* &* +@all -@admin -@dangerous +info"
} > /tmp/users.acl
exec redis-server /etc/reward-service/redis.conf --maxmemory "${REDIS_MAXMEMORY:-4gb}"
