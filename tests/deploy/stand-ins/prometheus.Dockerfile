# Debian's Prometheus with the layout of the registry's image.
FROM reward-service/debian:bookworm
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus \
 && install -d -o 65534 -g 65534 /prometheus && ln -s /usr/bin/prometheus /bin/prometheus || true
ENTRYPOINT ["/usr/bin/prometheus"]
