# The sandbox for Python programs. `reward-service sandbox build` builds it; so does, with a registry at hand,
# `docker build -f python.Dockerfile` on the context that it prints the layout of: agent/*.py beside this file.
#
# What is decided here: Debian 12's Python 3.11 (on 3.12 and later lru_cache recursion fails at depth 5,000
# whatever the stack), Debian's builds of pure-compute packages that solutions import, and nothing that helps
# a program which nobody trusts: no compiler, pip, downloader, set-uid file, secret or writable folder.
# The agent is the last layer, so that a change of it is built in seconds.

ARG BASE=debian:bookworm-slim
FROM ${BASE} AS packages

RUN printf 'path-exclude /usr/share/%s/*\n' doc man info locale lintian > /etc/dpkg/dpkg.cfg.d/lean \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
      python3-minimal python3 python3-attr python3-bitarray python3-dateutil python3-gmpy2 python3-more-itertools \
      libgfortran5 liblbfgsb0 python3-decorator python3-mpmath python3-networkx python3-numpy python3-pandas \
      python3-pytest python3-regex python3-sortedcontainers python3-sympy \
 # Debian's SciPy depends on pythran, and that on a compiler, for building only: take the files alone.
 && cd /tmp && apt-get download -qq python3-scipy && dpkg-deb -x python3-scipy_*.deb / \
 && rm python3-scipy_*.deb && cd / \
 && python3 -m compileall -q /usr/lib/python3/dist-packages/scipy \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /usr/share/python-wheels \
      /usr/lib/python3/dist-packages/numpy/*/tests /usr/lib/python3/dist-packages/scipy/*/tests \
      /usr/lib/python3/dist-packages/scipy/*/*/tests /usr/lib/python3/dist-packages/pandas/tests \
      /usr/lib/python3/dist-packages/sympy/*/tests /usr/lib/python3/dist-packages/networkx/*/tests \
 && find / -xdev -perm /6000 -exec chmod a-s {} +

FROM packages
COPY agent /agent
RUN ["/usr/bin/python3", "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/agent"]
ENV LANG=C.UTF-8
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/python3", "-I", "-S", "-B", "/agent/agent.py"]
