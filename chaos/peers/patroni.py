#!/usr/bin/env python3
"""The same faults as `interrex demo --script`, done to Patroni: `.ci/bench --peer patroni` runs it.

Three machines' worth of processes on loopback, each an etcd member, a Patroni and its PostgreSQL (for stopped-standby
four: the standby's has no etcd, another has nothing else); the writer and the judge are the very programs that measure
Interrex (`interrex ledger write` and `verify`). One run, one JSON object on standard output, with the keys of the
demo's report. Everything that was started is ended by its pid, also after Ctrl-C; nothing is installed.

What it cannot do: measure phases (Patroni does not tell them), or choose where etcd's leader is (it is told instead).
"""
import argparse
import contextlib
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# `default` is Patroni as it ships. `quorum` promises what Interrex does (no acknowledged commit lost), with the
# smallest times that Patroni's validator accepts, a failover instead of a restart in place, etcd with pre-vote, and
# what Interrex sets for reconnection and recovery (docs/settings.md).
PROFILES = {
    "default": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10},
    "quorum": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0,
               "synchronous_mode": "quorum"},
}
PARAMETERS = {"shared_buffers": "128MB", "wal_log_hints": "on", "wal_keep_size": "256MB", "max_connections": 100}
RECONNECTING = {"wal_retrieve_retry_interval": "100ms", "wal_receiver_status_interval": "1s", "wal_receiver_timeout": "5s",
                "wal_sender_timeout": "5s", "tcp_user_timeout": "5s", "tcp_keepalives_idle": 5, "tcp_keepalives_interval": 1,
                "tcp_keepalives_count": 3, "recovery_init_sync_method": "syncfs", "hot_standby_feedback": "on"}
SCRIPTS = ["kill-primary", "kill-postmaster", "switchover", "stopped-standby"]
# What each machine runs. A standby that is lost for good takes no vote with it, as in the demo's script.
ALL_ALIKE = {"n1": ("etcd", "patroni"), "n2": ("etcd", "patroni"), "n3": ("etcd", "patroni")}
STANDBY_APART = {"n1": ("etcd", "patroni"), "n2": ("etcd", "patroni"), "n3": ("etcd",), "n4": ("patroni",)}
ENOUGH = 200
PATIENCE_S = 180
KILLS_THE_MACHINE = ("kill-primary", "stopped-standby")


class Failure(Exception):
    """One line for people."""


def main():
    args = parse()
    # Who is told to end clears away first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = pathlib.Path(tempfile.mkdtemp(prefix="interrex-peer-"))
    keep, group = args.keep, None
    try:
        group = Group(work, args)
        report = play(group, args)
        print(json.dumps(report))
        return 0 if report["lost"] == 0 and report["acked"] >= ENOUGH else 1
    except Failure as failure:
        keep = True
        print(f"patroni: {failure}", file=sys.stderr)
        return 1
    finally:
        if group:
            group.end()
        if keep:
            print(f"patroni: logs and data are in {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--script", choices=SCRIPTS, required=True)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="default")
    parser.add_argument("--interrex", required=True, help="the program whose writer measures")
    parser.add_argument("--site", required=True, help="where Patroni's packages are unpacked")
    parser.add_argument("--etcd", required=True, help="etcd's program")
    parser.add_argument("--bin-dir", required=True, help="PostgreSQL's programs")
    parser.add_argument("--user", default="postgres", help="who runs PostgreSQL when this runs as root")
    parser.add_argument("--keep", action="store_true", help="keep logs and data")
    args = parser.parse_args()
    for path in ("interrex", "site", "etcd", "bin_dir"):
        setattr(args, path, os.path.abspath(getattr(args, path)))
    return args


def play(group, args):
    """Up, write, strike, go on, come back, judge."""
    begun = time.monotonic()
    group.start()
    up_ms = since(begun)
    group.make_role()
    writer = group.writer()
    wait(f"{ENOUGH} acknowledged writes", lambda: len(writer.acknowledged()) >= ENOUGH)
    writer.goes_on_for(2_000)

    away = group.lose_standby(writer) if args.script == "stopped-standby" else None
    old, etcd_leader = group.leader(), group.etcd_leader()
    struck_at, struck = mono_ms(), time.monotonic()
    killed = group.strike(args.script, old)
    # A primary that is killed whole cannot acknowledge; one that lives may, until it has handed over.
    elsewhere = lambda: group.leader() not in (None, old) or args.script == "kill-postmaster"
    wait("another primary", elsewhere)
    wait("writes to go on", lambda: writer.outage(struck_at) and writer.fresh())
    writer.goes_on_for(1_000)
    if args.script in KILLS_THE_MACHINE:
        struck = time.monotonic()
        group.machines[old].start()
    wait("all that are not lost to be whole again", group.whole)
    rejoined_ms = since(struck)
    writer.stop()
    verdict = group.verify(writer)
    return {
        "peer": "patroni", "version": group.version(), "profile": args.profile, "script": args.script,
        "acked": verdict["acked"], "lost": len(verdict["lost"]),
        "unknown": verdict["unknown_kept"] + verdict["unknown_gone"],
        "warned": verdict["warned_kept"] + verdict["warned_gone"],
        "outage_ms": writer.outage(struck_at), "rejoined_ms": rejoined_ms, "up_ms": up_ms,
        "old_primary": old, "new_primary": group.leader(), "pids_killed": killed,
        "etcd_leader_killed": args.script in KILLS_THE_MACHINE and etcd_leader == old, "load": list(os.getloadavg()),
        "away": away,
    }


class Group:
    """Three machines and what is asked of them."""

    def __init__(self, work, args):
        self.work, self.args = work, args
        self.account = pwd.getpwnam(args.user) if os.geteuid() == 0 else None
        self.password = secrets.token_hex(16)
        shape = STANDBY_APART if args.script == "stopped-standby" else ALL_ALIKE
        ports = iter(free_ports(4 * len(shape)))
        self.machines = {name: Machine(self, name, duties, [next(ports) for _ in range(4)])
                         for name, duties in shape.items()}
        self.lost = set()
        self.write_files()

    def write_files(self):
        members = ",".join(f"{m.name}=http://127.0.0.1:{m.peer}" for m in self.having("etcd"))
        clients = [f"127.0.0.1:{m.client}" for m in self.having("etcd")]
        os.chmod(self.work, 0o755)
        for machine in self.machines.values():
            machine.make(members, clients, self.args.profile)

    def having(self, duty):
        return [m for m in self.machines.values() if duty in m.duties and m.name not in self.lost]

    def start(self):
        for machine in self.having("etcd"):
            machine.start()
        # The machine without a vote is to be a standby's.
        wait("a primary", self.leader)
        for machine in self.machines.values():
            if "etcd" not in machine.duties:
                machine.start()
        wait("three healthy members", self.whole)

    def cluster(self):
        """What any member answers; each asks its own etcd."""
        for machine in self.having("patroni"):
            with contextlib.suppress(OSError, ValueError, KeyError, Failure):
                return ask(f"http://127.0.0.1:{machine.rest}/cluster")["members"]
        return []

    def leader(self):
        leaders = [m["name"] for m in self.cluster() if m["role"] == "leader" and m["state"] == "running"]
        return leaders[0] if len(leaders) == 1 else None

    def whole(self):
        for machine in self.machines.values():
            if machine.name not in self.lost:
                machine.ensure_alive()
        # Who is lost stays listed until its key runs out.
        members = [member for member in self.cluster() if member["name"] not in self.lost]
        states = sorted(member["state"] for member in members)
        timelines = {member.get("timeline") for member in members}
        synchronous = self.args.profile != "quorum" or any("quorum" in m["role"] for m in members)
        standbys = len(self.having("patroni")) - 1
        return states == ["running"] + ["streaming"] * standbys and len(timelines) == 1 and synchronous

    def etcd_leader(self):
        for machine in self.having("etcd"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                status = ask(f"http://127.0.0.1:{machine.client}/v3/maintenance/status", {})
                if status["leader"] == status["header"]["member_id"]:
                    return machine.name
        return None

    def strike(self, script, old):
        """Does it; the processes that died."""
        machine = self.machines[old]
        if script in KILLS_THE_MACHINE:
            return machine.kill()
        if script == "kill-postmaster":
            return machine.kill_postmaster()
        to = next(m["name"] for m in self.cluster() if m["role"] not in ("leader", "replica")
                  ) if self.args.profile == "quorum" else next(name for name in self.machines if name != old)
        ask(f"http://127.0.0.1:{machine.rest}/switchover", {"leader": old, "candidate": to}, at_most=60)
        return []

    def lose_standby(self, writer):
        """Kills everything on the machine without a vote, for good; waits until no commit waits for it."""
        gone = next(m for m in self.machines.values() if "etcd" not in m.duties)
        if self.leader() == gone.name:
            raise Failure(f"{gone.name} is the primary")
        struck_at, struck = mono_ms(), time.monotonic()
        gone.kill()
        self.lost.add(gone.name)
        # Without synchronous_mode no commit ever waited.
        waited_for = lambda: any(m["name"] == gone.name and "quorum" in m["role"] for m in self.cluster())
        wait("the commit rule to do without the lost standby", lambda: not waited_for())
        out_of_rule_ms = since(struck)
        wait("writes to go on", lambda: writer.outage(struck_at) and writer.fresh())
        writer.goes_on_for(1_000)
        return {"standby": gone.name, "out_of_rule_ms": out_of_rule_ms, "pause_ms": writer.outage(struck_at)}

    def make_role(self):
        machine = self.machines[self.leader()]
        for sql in (f"create role app login password '{self.password}'", "create database app owner app"):
            self.psql(machine, sql)

    def psql(self, machine, sql):
        psql = [f"{self.args.bin_dir}/psql", "-X", "-q", "-h", str(machine.dir), "-p", str(machine.postgres),
                "-U", "postgres", "-c", sql]
        done = subprocess.run(psql, capture_output=True, text=True, check=False, **self.as_user())
        if done.returncode:
            raise Failure(f"{sql}: {done.stderr.strip()}")

    def hosts(self):
        return ",".join(f"127.0.0.1:{machine.postgres}" for machine in self.having("patroni"))

    def ledger(self, verb):
        return [self.args.interrex, "ledger", verb, "--hosts", self.hosts(), "--user", "app", "--dbname", "app",
                "--ledger", str(self.work / "ledger"), "--json"]

    def writer(self):
        return Writer(self)

    def verify(self, writer):
        done = subprocess.run(self.ledger("verify"), capture_output=True, text=True, check=False, env=writer.env)
        if not done.stdout.strip():
            raise Failure(f"the ledger could not be verified: {done.stderr.strip()}")
        return json.loads(done.stdout.splitlines()[-1])

    def version(self):
        code = "import patroni.version; print(patroni.version.__version__)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                              env=self.environment()).stdout.strip()

    def environment(self):
        return {**os.environ, "PYTHONPATH": self.args.site}

    def as_user(self):
        if not self.account:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def end(self):
        for machine in self.machines.values():
            machine.kill()
        Writer.end_all()


class Machine:
    """An etcd member, a Patroni, and the PostgreSQL that it starts; or one of them alone."""

    def __init__(self, group, name, duties, ports):
        self.group, self.name, self.duties, self.dir = group, name, duties, group.work / name
        self.client, self.peer, self.rest, self.postgres = ports
        self.programs = []

    def make(self, members, clients, profile):
        self.dir.mkdir(mode=0o755)
        self.members = members
        if self.group.account:
            os.chown(self.dir, self.group.account.pw_uid, self.group.account.pw_gid)
        parameters = {**PARAMETERS, **(RECONNECTING if profile == "quorum" else {})}
        config = {
            "scope": "peer", "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"hosts": clients},
            "bootstrap": {
                "dcs": {**PROFILES[profile], "postgresql": {"use_pg_rewind": True, "parameters": parameters}},
                "initdb": ["data-checksums", {"encoding": "UTF8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.postgres}", "connect_address": f"127.0.0.1:{self.postgres}",
                "data_dir": str(self.dir / "data"), "pgpass": str(self.dir / "pgpass"),
                "bin_dir": self.group.args.bin_dir,
                "parameters": {"unix_socket_directories": str(self.dir)},
                "pg_hba": ["local all all trust", "host replication replicator 127.0.0.1/32 scram-sha-256",
                           "host all all 127.0.0.1/32 scram-sha-256"],
                "authentication": {
                    "superuser": {"username": "postgres", "password": self.group.password},
                    "replication": {"username": "replicator", "password": self.group.password},
                    "rewind": {"username": "rewind", "password": self.group.password},
                },
            },
        }
        # YAML reads JSON.
        path = self.dir / "patroni.yml"
        path.write_text(json.dumps(config, indent=2))
        os.chmod(path, 0o644)

    def start(self):
        client, peer = f"http://127.0.0.1:{self.client}", f"http://127.0.0.1:{self.peer}"
        etcd = [self.group.args.etcd, "--name", self.name, "--data-dir", str(self.dir / "etcd"),
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", self.members,
                "--initial-cluster-token", "peer", "--logger", "zap"]
        if self.group.args.profile != "default":
            etcd.append("--pre-vote")
        patroni = [sys.executable, "-m", "patroni", str(self.dir / "patroni.yml")]
        commands = {"etcd": etcd, "patroni": patroni}
        self.programs = [self.run(commands[duty], duty) for duty in self.duties]

    def run(self, command, name):
        with open(self.dir / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                    start_new_session=True, env=self.group.environment(), **self.group.as_user())

    def ensure_alive(self):
        for program in self.programs:
            if program.poll() is not None:
                raise Failure(f"a program of {self.name} ended by itself: {program.args[:3]}; see {self.dir}")

    def pids(self):
        """Everything below its two programs, and a PostgreSQL whose Patroni has died."""
        table = processes()
        found = {program.pid for program in self.programs if program.poll() is None}
        found |= {pid for pid, (_, cwd) in table.items() if cwd == str(self.dir / "data")}
        while True:
            more = {pid for pid, (parent, _) in table.items() if parent in found} - found
            if not more:
                return sorted(found)
            found |= more

    def kill(self):
        killed = []
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += [pid for pid in pids if pid not in killed]
            for program in self.programs:
                program.wait()
        return killed

    def kill_postmaster(self):
        pid = int((self.dir / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        return [pid]


class Writer:
    """`interrex ledger write`, and what its ledger says."""

    running = []

    def __init__(self, group):
        self.path, self.env = group.work / "ledger", {**os.environ, "PGPASSWORD": group.password}
        with open(group.work / "writer.log", "ab") as log:
            self.process = subprocess.Popen(group.ledger("write") + ["--until-stdin-closes"], env=self.env,
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)
        Writer.running.append(self.process)
        self.acks, self.read, self.rest = [], 0, b""

    def acknowledged(self):
        """When each acknowledgement came, CLOCK_MONOTONIC milliseconds."""
        if self.process.poll() is not None:
            raise Failure(f"the writer ended by itself ({self.process.returncode}); see writer.log")
        self.take()
        return self.acks

    def take(self):
        if not self.path.exists():
            return
        with open(self.path, "rb") as ledger:
            ledger.seek(self.read)
            text = ledger.read()
        self.read += len(text)
        *lines, self.rest = (self.rest + text).split(b"\n")
        entries = [json.loads(line) for line in lines]
        self.acks += [entry["at_ms"] for entry in entries if entry.get("outcome") == "ok"]

    def outage(self, after):
        """The longest time between two acknowledgements of which the second came after `after`; None: none came."""
        self.take()
        pairs = zip(self.acks, self.acks[1:])
        return max((late - early for early, late in pairs if late > after), default=None)

    def fresh(self):
        acks = self.acknowledged()
        return bool(acks) and mono_ms() - acks[-1] < 300

    def goes_on_for(self, ms):
        until = mono_ms() + ms
        wait(f"{ms} ms of writing", lambda: (self.acknowledged() or [0])[-1] > until)

    def stop(self):
        self.process.stdin.close()
        if self.process.wait(timeout=20):
            raise Failure("the writer failed; see writer.log")
        self.take()

    @staticmethod
    def end_all():
        for process in Writer.running:
            if process.poll() is None:
                process.kill()
                process.wait()


def processes():
    """Of every process: its parent, and where it works."""
    table = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                state, parent = (entry / "stat").read_text().rsplit(") ", 1)[1].split()[:2]
                if state not in "ZX":
                    table[int(entry.name)] = (int(parent), os.readlink(entry / "cwd"))
    return table


def ask(url, body=None, at_most=2):
    """GET, or POST with a body; the answer's JSON, or its text."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=at_most) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Failure(f"{url}: {error.code} {error.read().decode().strip()}") from error
    return json.loads(text) if text.lstrip().startswith(("{", "[")) else text


def wait(what, condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise Failure(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)


def free_ports(count):
    """Below the kernel's range for outgoing connections: a writer that dials a dead machine must not take its port."""
    ports = []
    while len(ports) < count:
        port = 15_000 + secrets.randbelow(15_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports


def mono_ms():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


def since(moment):
    return round((time.monotonic() - moment) * 1000)


if __name__ == "__main__":
    sys.exit(main())
