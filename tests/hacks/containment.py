"""Hostile programs of our own kinds, beside those of `../shared/hacks/containment.jsonl`.

Each prints BLOCKED or ESCAPED. `expect`: BLOCKED (that is what it prints), KILLED (a limit ends it; it prints nothing of
the two), CLEAN (whatever it prints but ESCAPED: what counts is that nothing is left of it).
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return result, ctypes.get_errno() if result < 0 else 0
def refused(*tries):
    got = []
    for name, work in tries:
        try:
            if work() is not False: got.append(name)
        except (OSError, PermissionError): pass
    done(got)
def done(got):
    print('ESCAPED' if got else 'BLOCKED', flush=True)
    print(got, file=sys.stderr, flush=True)
    os._exit(0)
"""


@dataclass(frozen=True)
class Case:
    """One hostile program. limit: seconds of CPU and wall time."""

    name: str
    source: str
    expect: str = "BLOCKED"
    limit: float = 8.0

    @property
    def program(self) -> str:
        """The whole source."""
        return PRELUDE + self.source


CASES: tuple[Case, ...] = (
    # Out of its process
    Case("other processes' secrets", "got = []\nfor p in os.listdir('/proc'):\n    if p.isdigit() and int(p) != os.getpid():\n        for n in ('mem', 'environ', 'maps', 'auxv', 'stack', 'syscall', 'io', 'map_files', 'fd'):\n            try:\n                path = f'/proc/{p}/{n}'\n                x = os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(64)\n                if x: got.append(path)\n            except OSError: pass\n        for n in ('exe', 'cwd', 'root'):\n            try: got.append(os.readlink(f'/proc/{p}/{n}'))\n            except OSError: pass\ndone(got)"),
    Case("only its own descriptors", "done([(n, os.readlink(f'/proc/self/fd/{n}')) for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists(f'/proc/self/fd/{n}') and 'proc' not in os.readlink(f'/proc/self/fd/{n}')])"),
    Case("writing to the agent's streams", "refused(*[(f, lambda f=f: os.write(os.open(f, os.O_WRONLY), b'x')) for f in ('/proc/1/fd/0', '/proc/1/fd/1', '/proc/1/fd/2', '/dev/tty', '/dev/console')])"),
    Case("limits and priorities of the agent", "import resource\nrefused(('prlimit', lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))), ('affinity', lambda: os.sched_setaffinity(1, {0})), ('nice', lambda: os.setpriority(os.PRIO_PROCESS, 1, 19)), ('pgid', lambda: os.setpgid(1, 1)), ('oom', lambda: os.write(os.open('/proc/1/oom_score_adj', os.O_WRONLY), b'1000')))"),
    Case("signals to the agent", "for s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: continue\n    if s != 18: done([s])\nfor p in os.listdir('/proc'):\n    if p.isdigit() and int(p) != os.getpid():\n        try: os.kill(int(p), 9); done([p])\n        except OSError: pass\ndone([])"),
    Case("ptrace and its kin", "class V(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('l', ctypes.c_size_t)]\nb = ctypes.create_string_buffer(8); v = V(ctypes.cast(b, ctypes.c_void_p), 8)\ndone([n for n, r in (('attach', call(101, 16, 1, 0, 0)), ('seize', call(101, 0x4206, 1, 0, 0)), ('readv', call(310, os.getppid(), ctypes.byref(v), 1, ctypes.byref(v), 1, 0)), ('writev', call(311, 1, ctypes.byref(v), 1, ctypes.byref(v), 1, 0)), ('kcmp', call(312, 1, os.getpid(), 0, 0, 0)), ('getfd', call(438, os.pidfd_open(os.getpid()), 1, 0)), ('madvise', call(440, os.pidfd_open(os.getpid()), 0, 0, 0, 0))) if r[0] >= 0])"),
    Case("another user", "refused(*[(f'{n}{u}', lambda f=f, u=u: f(u)) for u in (0, 2, 65534) for n, f in (('uid', os.setuid), ('gid', os.setgid), ('euid', os.seteuid), ('groups', lambda u: os.setgroups([u]))) if u != os.getuid()])"),
    Case("capabilities by any way", "import struct\nhead = struct.pack('II', 0x20080522, 0); full = struct.pack('6I', *[0xffffffff] * 6)\ns = open('/proc/self/status').read()\ncaps = {l.split(':')[0]: int(l.split()[1], 16) for l in s.splitlines() if l.startswith(('CapEff', 'CapPrm', 'CapBnd', 'CapAmb'))}\ndone([k for k, v in caps.items() if v] + (['capset'] if call(126, head, full)[0] == 0 else []) + (['ambient'] if libc.prctl(47, 2, 7, 0, 0) == 0 else []) + (['nnp off'] if libc.prctl(38, 0, 0, 0, 0) == 0 else []))"),
    # Kernel surface
    Case("namespaces by clone and clone3", "got = []\nfor n, f in (('user', 0x10000000), ('mount', 0x20000), ('pid', 0x20000000), ('net', 0x40000000), ('ipc', 0x08000000), ('uts', 0x04000000), ('cgroup', 0x02000000), ('time', 0x80)):\n    r = call(56, f | 17, 0, 0, 0, 0) if n != 'time' else (-1, 0)\n    if r[0] == 0: os._exit(0)\n    if r[0] > 0: got.append('clone ' + n)\n    if call(272, f)[0] == 0: got.append('unshare ' + n)\nb = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)\nr = call(435, b, 88)\nif r[0] == 0: os._exit(0)\nif r[0] > 0: got.append('clone3')\ndone(got)"),
    Case("socket families", "got = []\nfor f in (2, 10, 16, 17, 38, 40, 31, 29, 44, 15, 21, 43, 4, 5, 3, 9):\n    for t in (1, 2, 3, 5):\n        try: socket.socket(f, t); got.append((f, t))\n        except OSError: pass\ndone(got)"),
    Case("sockets in the file system", "import stat\ngot = []\nfor d, _, names in os.walk('/'):\n    if d.startswith(('/proc', '/sys')): continue\n    for n in names:\n        try:\n            if stat.S_ISSOCK(os.lstat(d + '/' + n).st_mode): got.append(d + '/' + n)\n        except OSError: pass\ndone(got)", limit=20),
    Case("rare system calls", "b = ctypes.create_string_buffer(4096)\nnames = {'add_key': (248, b'user', b'a', b'b', 1, -2), 'request_key': (249, b'user', b'a', 0, -2), 'keyctl': (250, 0, -3, 1), 'memfd_secret': (447, 0), 'io_uring_enter': (426, 0, 0, 0, 0, 0, 0), 'fanotify': (300, 0, 0), 'name_to_handle': (303, -100, b'/', b, b, 0), 'move_mount': (429, -100, b'/', -100, b'/tmp', 0), 'open_tree': (428, -100, b'/', 0x80000), 'mount_setattr': (442, -100, b'/', 0, b, 32), 'quotactl': (179, 0, b'/', 0, b), 'swapon': (167, b'/tmp', 0), 'acct': (163, b'/tmp/a'), 'settimeofday': (164, b, 0), 'adjtimex': (159, b), 'syslog': (103, 3, b, 100), 'iopl': (172, 3), 'ioperm': (173, 0, 10, 1), 'modify_ldt': (154, 1, b, 16), 'kexec': (246, 0, 0, 0, 0), 'lookup_dcookie': (212, 0, b, 10), 'vhangup': (153,), 'nfsservctl': (180, 0, 0, 0), 'uselib': (134, b'/bin/true'), 'mbind': (237, 0, 0, 0, 0, 0, 0), 'shmget': (29, 77, 4096, 0o1666), 'semget': (64, 77, 1, 0o1666), 'msgget': (68, 77, 0o1666), 'mq_open': (240, b'x', 0o102, 0o600, 0), 'remap_file_pages': (216, 0, 0, 0, 0, 0), 'setxattr': (188, b'/tmp', b'user.a', b'x', 1, 0)}\nr = {n: call(*a) for n, a in names.items()}\ndone([n for n, x in r.items() if x[0] >= 0 and n not in ('adjtimex', 'keyctl')])"),
    Case("address space tricks", "got = []\nif libc.personality(0x0040000) not in (-1,): got.append('no randomisation')\nif libc.personality(0x0400000) not in (-1,): got.append('read implies exec')\nif call(9, 0, 4096, 3, 0x32, -1, 0)[0] == 0: got.append('page zero')\ndone(got)"),
    Case("devices", "import stat\ngot = []\nfor d, dirs, names in os.walk('/dev'):\n    for n in names:\n        p = os.path.realpath(d + '/' + n); n = os.path.basename(p)\n        try: m = os.stat(p)\n        except OSError: continue\n        if stat.S_ISBLK(m.st_mode) or (stat.S_ISCHR(m.st_mode) and n not in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'console')): got.append(p)\ndone(got)"),
    Case("execution from writable places", "import shutil\ngot = []\nfor d in ('/tmp', '/dev/shm', '/var/tmp', '/run', '.'):\n    try:\n        p = d + '/x'; shutil.copy('/bin/true', p); os.chmod(p, 0o755)\n        if subprocess.run([p]).returncode == 0: got.append(d)\n    except OSError: pass\ndone(got)"),
    Case("a set-uid copy of a program", "import shutil\ntry: shutil.copy('/bin/true', '/tmp/su'); os.chmod('/tmp/su', 0o6755); os.chown('/tmp/su', 0, 0); done(['chown'])\nexcept OSError: done([])"),
    # What it can write to
    Case("the image is read-only", "got = []\nfor d in ('/', '/agent', '/usr', '/usr/bin', '/usr/lib', '/etc', '/dev', '/proc', '/proc/self', '/sys', '/run', '/home', '/root', '/opt', '/srv', '/var', '/mnt', '/media', '/boot', '/lib', '/bin'):\n    try: open(d + '/zz', 'w').close(); got.append(d)\n    except OSError: pass\nfor d, _, names in os.walk('/agent'):\n    for n in names:\n        try: os.close(os.open(d + '/' + n, os.O_WRONLY)); got.append(n)\n        except OSError: pass\ndone(got)"),
    Case("the writable directories themselves", "refused(*[(d + n, w) for d in ('/tmp', '/dev/shm') for n, w in (('chmod', lambda d=d: os.chmod(d, 0)), ('rename', lambda d=d: os.rename(d, d + '2')), ('rmdir', lambda d=d: os.rmdir(d)), ('chown', lambda d=d: os.chown(d, os.getuid(), -1)))])"),
    Case("kernel settings", "got = []\nfor d, _, names in os.walk('/proc/sys'):\n    for n in names:\n        try:\n            old = open(d + '/' + n, 'rb').read() or b'1'; os.write(os.open(d + '/' + n, os.O_WRONLY), old); got.append(d + '/' + n)\n        except OSError: pass\ndone(got)", limit=20),
    Case("libraries for later runs", "got = []\nfor d in sys.path + ['/tmp/.local/lib/python3.11/site-packages']:\n    try: os.makedirs(d, exist_ok=True); open(d + '/sitecustomize.py', 'w').write('x'); got.append(d)\n    except OSError: pass\ndone([d for d in got if not d.startswith('/tmp')])"),
    # Resources
    Case("memory of many children", "for _ in range(40):\n    if os.fork() == 0:\n        x = bytearray(b'x') * (100 << 20); time.sleep(30); os._exit(0)\ntime.sleep(6); print('ESCAPED')", "KILLED", 12),
    Case("shared anonymous memory", "import mmap\nm = []\nfor _ in range(30):\n    a = mmap.mmap(-1, 100 << 20); m.append(a)\n    for i in range(0, len(a), 4096): a[i] = 1\nprint('ESCAPED')", "KILLED", 12),
    Case("memory in files and out of them", "x = []\ntry:\n    for n in range(8): open(f'/dev/shm/{n}', 'wb').write(b'x' * (12 << 20))\nexcept OSError: pass\nwhile True: x.append(bytearray(b'y') * (16 << 20))", "KILLED", 12),
    Case("inodes", "n = 0\ntry:\n    while n < 400_000: os.close(os.open(f'/tmp/{n}', os.O_CREAT | os.O_WRONLY)); n += 1\nexcept OSError: pass\ndone([n] if n > 100_000 else [])", limit=20),
    Case("disk", "n = 0\nfor d in ('/tmp', '/dev/shm', '/var/tmp'):\n    try:\n        for i in range(2000):\n            with open(f'{d}/f{i}', 'wb') as f: n += f.write(b'x' * (1 << 20))\n    except OSError: pass\ndone([n] if n > 512 << 20 else [])", limit=20),
    Case("sockets and their buffers", "held, s = 0, []\ntry:\n    while len(s) < 2000:\n        a, b = socket.socketpair(); s += [a, b]; a.setblocking(False)\n        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)\n        try:\n            while True: held += a.send(b'x' * 65536)\n        except BlockingIOError: pass\nexcept OSError: pass\ndone([held] if held > 1536 << 20 else [])"),
    Case("timers, events and watches", "import select\nn = 0\ntry:\n    while n < 5000: os.eventfd(0); n += 1\nexcept OSError: pass\ndone([n] if n > 1100 else [])"),
    Case("a thread for each process", "import threading\nn = 0\nthreading.stack_size(1 << 16)\ntry:\n    while n < 3000:\n        if os.fork() == 0:\n            try:\n                while True: threading.Thread(target=time.sleep, args=(20,)).start()\n            except Exception: time.sleep(20); os._exit(0)\n        n += 1\nexcept Exception: pass\ndone([n] if n > 300 else [])"),
    Case("output from many processes", "for _ in range(6): os.fork()\nb = b'A' * (1 << 16)\nwhile True: os.write(1, b)", "KILLED", 12),
    Case("output that ignores its limit", "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nwhile True:\n    try: os.write(1, b'A' * (1 << 20))\n    except OSError: pass", "KILLED"),
    Case("CPU in stopped and continued children", "import signal\nps = []\nfor _ in range(4):\n    p = os.fork()\n    if p == 0:\n        while True: pass\n    ps.append(p)\nwhile True:\n    for p in ps: os.kill(p, signal.SIGSTOP); os.kill(p, signal.SIGCONT)", "KILLED", 3),
    Case("sleeping under a new session", "if os.fork(): os._exit(0) if os.fork() == 0 else time.sleep(99)\nos.setsid(); time.sleep(99)", "KILLED", 2),
    # What is left
    Case("siblings instead of children", "for flags in (0x8000 | 17, 0x8000, 0x8000 | 10, 0, 10):\n    p = libc.syscall(56, ctypes.c_ulong(flags), 0, 0, 0, 0)\n    if p == 0:\n        os.setsid(); time.sleep(60); os._exit(0)\nprint('BLOCKED')", "CLEAN", 5),
    Case("a race with the clean-up", "for _ in range(10):\n    if os.fork() == 0:\n        os.setsid(); i = 0\n        while True:\n            i += 1\n            try: os.makedirs(f'/tmp/{os.getpid()}/{i}/a/b'); open(f'/tmp/{os.getpid()}/{i}/f', 'w').close()\n            except OSError: pass\nprint('BLOCKED')", "CLEAN"),
    Case("links that lead the clean-up astray", "for i, t in enumerate(('/', '/agent', '/usr', '/proc/1/root', '/dev', '..', '.', '/tmp', 'self')):\n    os.symlink(t, f'/tmp/l{i}'); os.makedirs(f'/tmp/d{i}/e'); os.symlink(t, f'/tmp/d{i}/l'); os.symlink(t, f'/tmp/d{i}/e/l')\nos.symlink('self', '/tmp/self'); os.link('/tmp/l1', '/tmp/hard')\nprint('BLOCKED')", "CLEAN"),
    Case("names that are in the clean-up's way", "import itertools\nfor u in (os.getuid(), 0):\n    for i in range(50): os.makedirs(f'/tmp/.flat-{u}-{i}/x')\nfor n in (b'..\\xff', b'...', b'\\x01', b' ', b'~', b'*', b'\\\\', b'x' * 255): os.makedirs(b'/tmp/' + n + b'/' + n)\nd = '/tmp/w'\nos.mkdir(d)\nfor i in range(2000): os.mkdir(f'{d}/{i}')\nprint('BLOCKED')", "CLEAN"),
    Case("a deep tree without permissions", "d = os.open('/tmp', os.O_RDONLY)\nopened = []\nfor i in range(100):\n    os.mkdir('l' + 'x' * 250, dir_fd=d); n = os.open('l' + 'x' * 250, os.O_RDONLY, dir_fd=d); opened.append(n); d = n\nfor n in reversed(opened): os.fchmod(n, 0)\nprint('BLOCKED')", "CLEAN"),
    Case("open files and mappings of the dead", "import mmap, tempfile\nf = tempfile.TemporaryFile(); f.truncate(8 << 20); m = mmap.mmap(f.fileno(), 8 << 20); m[:] = b'x' * len(m)\nif os.fork() == 0: os.setsid(); time.sleep(60)\nprint('BLOCKED')", "CLEAN"),
)  # fmt: skip
