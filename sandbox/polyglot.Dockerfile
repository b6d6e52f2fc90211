# The sandbox for programs in other languages; Python programs run in it as well. It stands on the packages of
# python.Dockerfile, so both share those layers.
#
# What is decided here: one image with every language, since a compiler takes disk and no memory until it is
# used. Debian 12's versions: GCC 12 (C, C++), OpenJDK 17, Node 18, TypeScript 4.8 (transpiled, not type-checked),
# Go 1.19 (the last that ships its standard library compiled: no build cache is needed), Rust 1.63, Bash 5.2.

ARG PACKAGES
FROM ${PACKAGES}

RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
      gcc g++ libc6-dev golang-go nodejs node-typescript openjdk-17-jdk-headless rustc \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
 && find / -xdev -perm /6000 -exec chmod a-s {} + \
 && java -Xshare:dump

COPY agent /agent
RUN ["/usr/bin/python3", "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/agent"]
ENV LANG=C.UTF-8
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/python3", "-I", "-S", "-B", "/agent/agent.py"]
