#!/bin/sh
# Starts the engine that the sandbox's containers run on, with the sandbox's image in it.
#
# What is decided here: the engine has one socket in a folder that it shares with the runner and nobody else, and no
# network of any kind; its containers get their root from a user that is nobody outside (ENGINE_USERNS=remap), unless
# what is around it can't nest them (ENGINE_USERNS=host). Its control groups are its own, so the
# limits of every sandbox container hold.
set -eu
umask 022
socket=/run/engine/docker.sock
image=$(cat /usr/local/share/sandbox/name)

awk '$3 ~ /^cgroup/ {print $2}' /proc/self/mounts | while read -r place; do
  mount -o remount,bind,rw,nosuid,nodev,noexec "$place"
done
if [ "${ENGINE_USERNS:-remap}" = remap ]; then
  # The kernel lets a new user namespace mount /proc and /sys only where those outside are seen whole.
  awk '$2 ~ /^\/(proc|sys)\/./ && $2 !~ /^\/sys\/fs\/cgroup/ {print $2}' /proc/self/mounts | sort -r | while read -r place; do
    umount "$place"
  done
fi
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  # Version 2: a group that hands controllers down has no processes of its own.
  mkdir -p /sys/fs/cgroup/engine
  processes=$(cat /sys/fs/cgroup/cgroup.procs)
  for process in $processes; do
    echo "$process" > /sys/fs/cgroup/engine/cgroup.procs 2>/dev/null || :  # some have ended meanwhile
  done
  sed -e 's/^/+/' -e 's/ / +/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
fi

rm -f "$socket" /run/docker/engine.pid
set -- --host "unix://$socket" --group 10001 --data-root /var/lib/docker --exec-root /run/docker \
  --pidfile /run/docker/engine.pid --bridge none --iptables=false --ip6tables=false --ip-forward=false \
  --log-driver none --shutdown-timeout 5 --log-level warn
if [ "${ENGINE_USERNS:-remap}" = remap ]; then set -- "$@" --userns-remap sandbox; fi
dockerd "$@" &
engine=$!
trap 'kill -TERM "$engine"; wait "$engine"; exit 0' TERM INT

export DOCKER_HOST="unix://$socket"
until docker version >/dev/null 2>&1; do
  kill -0 "$engine" || exit 1
  sleep 0.2
done
if ! docker image inspect "$image" >/dev/null 2>&1; then
  # /dev and /proc are the container's own; the rest is what `reward-service sandbox build` would have made.
  tar -C /usr/local/share/sandbox/root -c . | docker import --change 'ENV LANG=C.UTF-8' --change 'WORKDIR /tmp' \
    --change 'ENTRYPOINT ["/usr/bin/python3", "-I", "-S", "-B", "/agent/agent.py"]' \
    --change 'LABEL reward-service.sandbox=python' - "$image" >/dev/null
  docker image prune --force >/dev/null
fi
echo "the sandbox's engine is up, with $image"
wait "$engine"
