FROM packages AS name
COPY sandbox/python.Dockerfile /context/python.Dockerfile
COPY sandbox/agent /context/agent
COPY reward_service/handlers/_values.py /context/agent/values.py
COPY deploy/images/engine/tag.py /tag.py
RUN python3 /tag.py /context > /name

FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
 && useradd --system --no-create-home --shell /usr/sbin/nologin sandbox \
 && echo sandbox:100000:65536 > /etc/subuid && echo sandbox:100000:65536 > /etc/subgid \
 && install -d -o root -g 10001 -m 0750 /run/engine && install -d /etc/docker
COPY --from=sandbox / /usr/local/share/sandbox/root
COPY --from=name /name /usr/local/share/sandbox/name
COPY deploy/images/engine/entry.sh /usr/local/bin/engine
ENTRYPOINT ["/bin/sh", "/usr/local/bin/engine"]
