# Debian's Redis with the user of the registry's image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN groupadd --gid 1000 redis && useradd --uid 999 --gid 1000 redis \
 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server redis-tools \
 && install -d -o 999 -g 1000 /data
