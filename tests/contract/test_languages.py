"""Programs in every language of the polyglot image: what they may rely on, and how they end.

`make test` runs Python, C++ and JavaScript; `make test-languages` (REWARD_SERVICE_TEST_LANGUAGES=all) all of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_spec import DockerOptions
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus
from tests.engine import docker_host, docker_image, polyglot_image  # noqa: F401 - fixtures

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")

EVERY = os.environ.get("REWARD_SERVICE_TEST_LANGUAGES") == "all"
ORDINARY = ("python", "cpp", "javascript")
LIMITS = RunLimits(cpu_seconds=3, compile_seconds=30, memory_bytes=512 << 20, output_bytes=1 << 20)


class Programs(NamedTuple):
    """One language. sums: reads numbers, prints their sum and `ž`. deep: recursion 20,000 deep, prints 20000.

    fails: exits with 3 after printing `out` and, to stderr, `err`. crashes: ends by an exception or signal of
    the language's own. broken: doesn't compile. hoards: takes memory until there is none.
    """

    sums: str
    deep: str
    fails: str
    crashes: str
    broken: str
    loops: str
    hoards: str
    floods: str


LANGUAGES: dict[str, Programs] = {
    "python": Programs(
        "import sys\nprint(sum(map(int, sys.stdin.read().split())), 'ž')",
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(20000))",
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)",
        "[][1]",
        "print('a'",
        "while True: pass",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "while True: print('x' * 1000)",
    ),
    "c": Programs(
        '#include <stdio.h>\n#include <math.h>\nint main(){long s=0,x;while(scanf("%ld",&x)==1)s+=x;'
        'printf("%ld \\u017e\\n",(long)floor(s+0.5));return 0;}',
        '#include <stdio.h>\nint f(int n){volatile char a[2000];a[0]=0;return n?1+f(n-1)+a[0]:0;}'
        'int main(){printf("%d\\n",f(20000));}',
        '#include <stdio.h>\nint main(){puts("out");fputs("err\\n",stderr);return 3;}',
        "int main(){*(volatile int*)0=1;}",
        "int main(){return x;}",
        "int main(){volatile int x=0;for(;;)x++;}",
        "#include <stdlib.h>\n#include <string.h>\nint main(){for(;;){char*p=malloc(1<<20);if(!p)abort();memset(p,1,1<<20);}}",
        '#include <stdio.h>\nint main(){for(;;)puts("xxxxxxxxxxxxxxxxxxxxxxxx");}',
    ),
    "cpp": Programs(
        "#include <bits/stdc++.h>\nusing namespace std;\nint main(){long s=0;int x;while(cin>>x)s+=x;"
        'vector<long> v{s};ranges::sort(v);cout<<v[0]<<" ž"<<endl;}',
        "#include <iostream>\nint f(int n){volatile char a[2000];a[0]=0;return n?1+f(n-1)+a[0]:0;}"
        "int main(){std::cout<<f(20000)<<std::endl;}",
        '#include <iostream>\nint main(){std::cout<<"out\\n";std::cerr<<"err\\n";return 3;}',
        "#include <vector>\nint main(){std::vector<int> v;return v.at(3);}",
        "int main(){return x;}",
        "int main(){volatile int x=0;for(;;)x=x+1;}",
        "#include <vector>\n#include <string>\nint main(){std::vector<std::string> v;for(;;)v.emplace_back(1<<20,'x');}",
        "#include <cstdio>\nint main(){for(;;)puts(\"xxxxxxxxxxxxxxxxxxxxxxxx\");}",
    ),
    "javascript": Programs(
        "const s=require('fs').readFileSync(0,'utf8').split(/\\s+/).filter(Boolean).map(Number);"
        "console.log(s.reduce((a,b)=>a+b,0)+' ž')",
        "const f=n=>n?1+f(n-1):0;console.log(f(20000))",
        "console.log('out');console.error('err');process.exit(3)",
        "null.x",
        "let x = ;",
        "for(;;);",
        "const x=[];for(;;)x.push(new Array(1<<17).fill(1.5))",
        "for(;;)require('fs').writeSync(1,'x'.repeat(1000))",
    ),
    "typescript": Programs(
        "import * as fs from 'fs';\nconst s: number[] = fs.readFileSync(0, 'utf8').split(/\\s+/).filter(Boolean).map(Number);\n"
        "const total = (v: number[]): number => v.reduce((a, b) => a + b, 0);\nconsole.log(`${total(s)} ž`);",
        "const f = (n: number): number => n ? 1 + f(n - 1) : 0;\nconsole.log(f(20000));",
        "console.log('out'); console.error('err'); process.exit(3);",
        "const x: any = null; x.y;",
        "const x: number = ;",
        "for (;;);",
        "const x: number[][] = []; for (;;) x.push(new Array(1 << 17).fill(1.5));",
        "import { writeSync } from 'fs'; for (;;) writeSync(1, 'x'.repeat(1000));",
    ),
    "java": Programs(
        "import java.util.*;\npublic class Solution {\n  static class Sum { long of(Scanner s) { long t = 0; while (s.hasNextInt()) t += s.nextInt(); return t; } }\n"
        "  public static void main(String[] a) { System.out.println(new Sum().of(new Scanner(System.in)) + \" ž\"); }\n}",
        "class Main { static int f(int n) { return n == 0 ? 0 : 1 + f(n - 1); }\n"
        "public static void main(String[] a) { System.out.println(f(20000)); } }",
        "public class Main { public static void main(String[] a) { System.out.println(\"out\"); System.err.println(\"err\"); System.exit(3); } }",
        "public class Main { public static void main(String[] a) { int[] x = {}; System.out.println(x[1]); } }",
        "public class Main { public static void main(String[] a) { int x = \"s\"; } }",
        "public class Main { public static void main(String[] a) { while (true); } }",
        "import java.util.*; public class Main { public static void main(String[] a) { List<long[]> x = new ArrayList<>(); while (true) x.add(new long[1 << 17]); } }",
        "public class Main { public static void main(String[] a) { while (true) System.out.println(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxx\"); } }",
    ),
    "go": Programs(
        'package main\nimport ("bufio"; "fmt"; "os"; "sort")\nfunc main() { r := bufio.NewReader(os.Stdin); s := 0; x := 0\n'
        'for { _, e := fmt.Fscan(r, &x); if e != nil { break }; s += x }\nv := []int{s}; sort.Ints(v); fmt.Println(v[0], "ž") }',
        'package main\nimport "fmt"\nfunc f(n int) int { if n == 0 { return 0 }; return 1 + f(n-1) }\nfunc main() { fmt.Println(f(20000)) }',
        'package main\nimport ("fmt"; "os")\nfunc main() { fmt.Println("out"); fmt.Fprintln(os.Stderr, "err"); os.Exit(3) }',
        "package main\nfunc main() { var x []int; _ = x[1] }",
        "package main\nfunc main() { x := 1 }",
        "package main\nfunc main() { for {} }",
        "package main\nfunc main() { x := [][]int{}; for { y := make([]int, 1<<17); for i := range y { y[i] = i }; x = append(x, y) } }",
        'package main\nimport "fmt"\nfunc main() { for { fmt.Println("xxxxxxxxxxxxxxxxxxxxxxxxxxxx") } }',
    ),
    "rust": Programs(
        "use std::io::Read;\nfn main() { let mut s = String::new(); std::io::stdin().read_to_string(&mut s).unwrap();\n"
        'let t: i64 = s.split_whitespace().map(|x| x.parse::<i64>().unwrap()).sum(); println!("{} ž", t); }',
        'fn f(n: u32) -> u32 { if n == 0 { 0 } else { 1 + f(unsafe { std::ptr::read_volatile(&n) } - 1) } }\nfn main() { println!("{}", f(20000)); }',
        'fn main() { println!("out"); eprintln!("err"); std::process::exit(3); }',
        "fn main() { let v: Vec<i32> = vec![]; println!(\"{}\", v[std::env::args().count()]); }",
        "fn main() { let x: i32 = \"s\"; }",
        "fn main() { let mut x = 0u8; loop { unsafe { std::ptr::write_volatile(&mut x, 1) } } }",
        "fn main() { let mut v = vec![]; loop { v.push(vec![1u8; 1 << 20]); } }",
        'fn main() { loop { println!("xxxxxxxxxxxxxxxxxxxxxxxxxxxx"); } }',
    ),
    "bash": Programs(
        "s=0\nfor x in $(cat); do s=$((s + x)); done\necho \"$s ž\"",
        "f() { if [ $1 -eq 0 ]; then r=0; else f $(($1 - 1)); r=$((r + 1)); fi; }\nf 200\necho $((r * 100))",
        "echo out\necho err >&2\nexit 3",
        "set -u\necho $nothing",
        "if then",
        "while :; do :; done",
        "x=xxxxxxxxxxxxxxxx\nwhile :; do x=$x$x; done",
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
    ),
}  # fmt: skip
THREADS = {
    "python": "import threading\nn = []\nt = [threading.Thread(target=n.append, args=(1,)) for _ in range(4)]\n"
    "[x.start() for x in t]; [x.join() for x in t]\nprint(len(n))",
    "c": "#include <pthread.h>\n#include <stdio.h>\n#include <stdatomic.h>\natomic_int n;\nvoid*f(void*a){n++;return 0;}\n"
    'int main(){pthread_t t[4];for(int i=0;i<4;i++)if(pthread_create(t+i,0,f,0))return 1;'
    'for(int i=0;i<4;i++)pthread_join(t[i],0);printf("%d\\n",n);}',
    "cpp": "#include <thread>\n#include <atomic>\n#include <vector>\n#include <iostream>\nint main(){std::atomic<int> n{0};"
    "std::vector<std::thread> t;for(int i=0;i<4;i++)t.emplace_back([&]{n++;});for(auto&x:t)x.join();std::cout<<n<<std::endl;}",
    "java": "public class Main { public static void main(String[] a) throws Exception { var n = new java.util.concurrent.atomic.AtomicInteger();"
    " Thread[] t = new Thread[4]; for (int i = 0; i < 4; i++) { t[i] = new Thread(n::incrementAndGet); t[i].start(); }"
    " for (Thread x : t) x.join(); System.out.println(n); } }",
    "go": 'package main\nimport ("fmt"; "sync")\nfunc main() { var w sync.WaitGroup; c := make(chan int, 4)\n'
    "for i := 0; i < 4; i++ { w.Add(1); go func() { c <- 1; w.Done() }() }; w.Wait(); fmt.Println(len(c)) }",
    "rust": "fn main() { let t: Vec<_> = (0..4).map(|_| std::thread::spawn(|| 1)).collect();\n"
    'println!("{}", t.into_iter().map(|x| x.join().unwrap()).sum::<i32>()); }',
}  # fmt: skip
NAMES = sorted(LANGUAGES) if EVERY else sorted(ORDINARY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(docker_host: str, docker_image: str, polyglot_image: str) -> AsyncIterator[DockerSandbox]:  # noqa: F811
    options = DockerOptions((docker_host,), image=docker_image, polyglot_image=polyglot_image, places=2)
    async with DockerSandbox(options) as running:
        yield running


async def results(sandbox: DockerSandbox, language: str, source: str, *stdin: str) -> list[RunResult]:
    async with sandbox.session(Program(language, source, limits=LIMITS)) as session:
        return await session.run([Run(text) for text in stdin or ("",)], stop_early=False)


@IN_ONE_LOOP
@pytest.mark.parametrize("language", NAMES)
class TestLanguage:
    """Each test once for each language."""

    async def test_is_compiled_once_and_run_for_each_input(
        self, sandbox: DockerSandbox, language: str
    ) -> None:
        inputs = ["1 2 3\n", "", "-5\n5\n7", " ".join(map(str, range(20_000)))]
        found = await results(sandbox, language, LANGUAGES[language].sums, *inputs)
        assert [(r.status, r.stdout) for r in found] == [
            (RunStatus.OK, f"{total} ž\n") for total in (6, 0, 7, 199_990_000)
        ], found

    async def test_recursion_is_deep(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].deep)
        assert (found.status, found.stdout) == (RunStatus.OK, "20000\n"), found

    async def test_an_exit_code_is_a_runtime_error(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].fails)
        assert (found.status, found.exit_code, found.stdout) == (RunStatus.RUNTIME_ERROR, 3, "out\n"), found
        assert "err" in found.stderr

    async def test_a_crash_is_a_runtime_error(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].crashes)
        assert found.status is RunStatus.RUNTIME_ERROR, found

    async def test_what_does_not_compile_says_so(self, sandbox: DockerSandbox, language: str) -> None:
        found = await results(sandbox, language, LANGUAGES[language].broken, "1", "2")
        assert {r.status for r in found} == {RunStatus.COMPILE_ERROR}, found
        assert found[0].message or found[0].stderr

    async def test_an_endless_loop_ends_at_its_limit(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].loops)
        assert found.status is RunStatus.TIME_LIMIT, found
        assert found.cpu_seconds < LIMITS.cpu_seconds + 1

    async def test_memory_is_limited(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].hoards)
        assert found.status is RunStatus.MEMORY_LIMIT, found

    async def test_output_is_limited(self, sandbox: DockerSandbox, language: str) -> None:
        (found,) = await results(sandbox, language, LANGUAGES[language].floods)
        assert found.status is RunStatus.OUTPUT_LIMIT, found
        assert len(found.stdout.encode()) <= LIMITS.output_bytes

    async def test_nothing_is_left_for_the_next(self, sandbox: DockerSandbox, language: str) -> None:
        for _ in range(2):  # both places
            (found,) = await results(sandbox, language, LANGUAGES[language].sums, "20 22")
            assert (found.status, found.stdout) == (RunStatus.OK, "42 ž\n"), found


@IN_ONE_LOOP
@pytest.mark.parametrize("language", [name for name in NAMES if name in THREADS])
async def test_threads_have_room(sandbox: DockerSandbox, language: str) -> None:
    (found,) = await results(sandbox, language, THREADS[language])
    assert (found.status, found.stdout) == (RunStatus.OK, "4\n"), found


@IN_ONE_LOOP
async def test_the_image_has_what_it_says(sandbox: DockerSandbox) -> None:
    assert set(sandbox.languages()) == set(LANGUAGES)


JAVA = [
    ("public class Main { public static void main(String[] args) {} }", "Main", "Main"),
    ("import java.util.*;\nclass A {}\npublic class B { static void main(String[] a) {} }", "B", "B"),
    ("class Helper { int x; } class Run { public static void main(String... a) {} }", "Run", "Run"),
    ("public class Out { static class In { int f() { return 1; } } public static void main(String[] a) {} }", "Out", "Out"),
    ("public interface Shape {} class App { public static void main(String[] a) {} }", "Shape", "App"),
    ("package a.b;\npublic final class C { public static final void main(String[] a) {} }", "C", "a.b.C"),
    ('class X { String s = "public class Y {"; /* public class Z */ // public class W\n public static void main(String[] a) {} }', "X", "X"),
    ("class A { void f() { if (1) { } } static class M { public static void main(String[] a) {} } }", "A", "A$M"),
    ("enum E { X, Y } record P(int x) {} class Q { int[] z = {1}; public static void main(String[] a) {} }", "Q", "Q"),
    ("class NoMain { }", "NoMain", "NoMain"),
    ("", "Main", "Main"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "file", "entry"), JAVA)
def test_what_a_java_program_is_called(source: str, file: str, entry: str) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    from reward_service.adapters.agent import sandbox_files

    spec = spec_from_file_location("java_build", sandbox_files() / "agent" / "java_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.names(source) == (file, entry)
