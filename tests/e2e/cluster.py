"""Real members for tests and for the walk-through: processes, a feeder of live metrics and an HTTP sink.

Everything listens on 127.0.0.1 and lives below one temporary folder; whatever was started here is stopped here.
"""
import collections
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Failed(Exception):
    """Something that had to hold did not."""


def free_ports(count):
    """Ports that are free for TCP and UDP right now."""
    held, ports = [], []
    while len(ports) < count:
        tcp = socket.socket()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held += [tcp, udp]
        tcp.bind(('127.0.0.1', 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            continue
        ports.append(tcp.getsockname()[1])
    for s in held:
        s.close()
    return ports


def wait_for(what, condition, seconds=15.0, every=0.05):
    """Polls until the condition gives something true, which is returned."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f'{what}: not within {seconds:g} s')
        time.sleep(every)


class Member:
    """One kapacitord process with its own folder, ports and hostname."""

    def __init__(self, build, folder, hostname, config='', ports=None):
        self.build, self.hostname = pathlib.Path(build).resolve(), hostname
        self.folder = pathlib.Path(folder) / hostname
        self.folder.mkdir(parents=True, exist_ok=True)
        self.gossip, self.rpc, self.http = ports or free_ports(3)
        self.config = self.folder / 'kapacitor.conf'
        self.log = self.folder / 'kapacitord.log'
        self.process = None
        self.write_config(config)

    def write_config(self, extra=''):
        """`extra` is TOML appended after the sections that every member needs."""
        self.config.write_text(f'''hostname = "{self.hostname}"
data_dir = "{self.folder}/data"

[http]
  bind-address = "127.0.0.1:{self.http}"
  log-enabled = false

[cluster]
  bind-address = "127.0.0.1:{self.gossip}"
  advertise-address = "127.0.0.1:{self.gossip}"

[rpc]
  bind-address = "127.0.0.1:{self.rpc}"
  advertise-address = "127.0.0.1:{self.rpc}"

[storage]
  boltdb = "{self.folder}/data/kapacitor.db"

[replay]
  dir = "{self.folder}/data/replay"

[load]
  enabled = false

[logging]
  file = "{self.log}"
  level = "INFO"

[[influxdb]]
  enabled = false
  default = true
  name = "default"
{extra}''')

    @property
    def url(self):
        return f'http://127.0.0.1:{self.http}'

    @property
    def rpc_address(self):
        return f'127.0.0.1:{self.rpc}'

    def start(self, wait=True):
        stderr = open(self.folder / 'stderr.log', 'ab')
        self.process = subprocess.Popen([self.build / 'cmd/kapacitord', '-config', self.config],
                                        stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        stderr.close()
        if wait:
            wait_for(f'{self.hostname} answers', self.answers)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failed(f'{self.hostname} ended with {self.process.returncode}:\n{self.tail()}')
        try:
            return self.request('GET', '/kapacitor/v1/ping')[0] == 204
        except OSError:
            return False

    def tail(self, lines=15):
        text = ''
        for file in (self.log, self.folder / 'stderr.log'):
            if file.exists():
                text += ''.join(file.read_text(errors='replace').splitlines(True)[-lines:])
        return text

    def request(self, method, path, body=None, headers=None, timeout=10):
        """Status and body; JSON objects are sent as such."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection('127.0.0.1', self.http, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors='replace')
        finally:
            connection.close()

    def get(self, path):
        status, body = self.request('GET', '/kapacitor/v1' + path)
        if status != 200:
            raise Failed(f'GET {path} on {self.hostname}: {status} {body}')
        return json.loads(body)

    def post(self, path, body):
        status, answer = self.request('POST', '/kapacitor/v1' + path, body)
        if status not in (200, 201, 204):
            raise Failed(f'POST {path} on {self.hostname}: {status} {answer}')
        return json.loads(answer) if answer.strip() else None

    def write(self, lines, db='machine', rp='autogen', precision='n'):
        status, body = self.request('POST', f'/kapacitor/v1/write?db={db}&rp={rp}&precision={precision}', lines)
        if status != 204:
            raise Failed(f'write to {self.hostname}: {status} {body}')

    def client(self, program, *args, check=True):
        """Runs a client program against this member: exit code, standard output and error together."""
        done = subprocess.run([self.build / 'cmd' / program, '-url', self.url, *args], capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failed(f'{program} {" ".join(args)}: exit {done.returncode}: {done.stdout}{done.stderr}')
        return done.returncode, done.stdout + done.stderr

    def cluster(self):
        return self.get('/cluster')

    def statuses(self):
        return {m['id']: m['status'] for m in self.cluster()['members']}

    @property
    def member_id(self):
        return self.cluster()['local-member-id']

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        if sig in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(timeout=20)

    def stop(self):
        """SIGTERM; the exit code (SIGKILL after ten seconds)."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -signal.SIGKILL


class Cluster:
    """Members below one temporary folder, as a context manager that stops them and removes the folder."""

    def __init__(self, build, names=('serverA', 'serverB', 'serverC'), config=''):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='kapacitor-e2e-'))
        self.members = [Member(build, self.folder, name, config) for name in names]

    def __enter__(self):
        return self

    def start(self):
        for member in self.members:
            member.start()
        return self

    def join(self):
        """Adds all members to the first one's cluster and waits until each sees all alive."""
        for other in self.members[1:]:
            self.members[0].client('kapacitor-ctl', 'member', 'add', other.rpc_address)
        self.wait_alive()
        return self

    def wait_alive(self, members=None, seconds=15):
        members = members or self.members
        for member in members:
            wait_for(f'{member.hostname} sees {len(members)} alive',
                     lambda m=member: list(m.statuses().values()) == ['alive'] * len(members), seconds)

    def __exit__(self, kind, value, trace):
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            for member in self.members:
                print(f'--- {member.hostname}\n{member.tail()}', flush=True)
        for member in self.members:
            member.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


Delivery = collections.namedtuple('Delivery', 'at member key event')


class Sink:
    """An HTTP endpoint that records what is posted to it. `status` and `delay` may be changed while it runs."""

    def __init__(self, on_delivery=None):
        self.deliveries, self.status, self.delay = [], 200, 0.0
        self.lock = threading.Lock()
        self.on_delivery = on_delivery
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                if sink.delay:
                    time.sleep(sink.delay)
                if sink.status // 100 == 2:
                    sink.record(Delivery(time.time(), self.headers.get('X-Kapacitor-Member', ''),
                                         self.headers.get('Idempotency-Key', ''), json.loads(body)))
                self.send_response(sink.status)
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server.server_address[1]}/'

    def record(self, delivery):
        with self.lock:
            self.deliveries.append(delivery)
        if self.on_delivery:
            self.on_delivery(delivery)

    def all(self):
        with self.lock:
            return list(self.deliveries)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def identity(delivery):
    """What makes an event itself at the sink: its ID, data time and level."""
    e = delivery.event
    return e['id'], e['time'], e['level']


def duplicates(deliveries):
    return {k: n for k, n in collections.Counter(map(identity, deliveries)).items() if n > 1}


class Machine:
    """Live metrics of this machine from /proc, as line protocol."""

    def __init__(self):
        self.host = socket.gethostname()
        self.cpus = self.read_cpus()

    @staticmethod
    def read_cpus():
        cpus = {}
        for line in pathlib.Path('/proc/stat').read_text().splitlines():
            if line.startswith('cpu') and line[3] != ' ':
                name, *ticks = line.split()
                ticks = [int(t) for t in ticks]
                cpus[name] = (sum(ticks[:8]), ticks[3] + ticks[4])
        return cpus

    def cpu_lines(self, now):
        before, self.cpus = self.cpus, self.read_cpus()
        for name, (total, idle) in self.cpus.items():
            total -= before.get(name, (0, 0))[0]
            idle -= before.get(name, (0, 0))[1]
            if total > 0:
                yield f'cpu,host={self.host},cpu={name} usage_idle={100 * idle / total:.2f} {now}'

    def lines(self):
        now = time.time_ns()
        out = list(self.cpu_lines(now))
        mem = dict(line.split(':') for line in pathlib.Path('/proc/meminfo').read_text().splitlines())
        kb = {k: int(v.split()[0]) for k, v in mem.items()}
        used = 100 * (1 - kb['MemAvailable'] / kb['MemTotal'])
        out.append(f'mem,host={self.host} used_percent={used:.3f},available={kb["MemAvailable"] * 1024}i {now}')
        load = pathlib.Path('/proc/loadavg').read_text().split()
        running, total = load[3].split('/')
        out.append(f'system,host={self.host} load1={load[0]},load5={load[1]} {now}')
        out.append(f'processes,host={self.host} running={running}i,total={total}i {now}')
        disk = os.statvfs('/')
        out.append(f'disk,host={self.host},path=/ used_percent={100 * (1 - disk.f_bavail / disk.f_blocks):.3f} {now}')
        for line in pathlib.Path('/proc/net/dev').read_text().splitlines()[2:]:
            name, values = line.split(':')
            v = values.split()
            out.append(f'net,host={self.host},interface={name.strip()} bytes_recv={v[0]}i,bytes_sent={v[8]}i {now}')
        return '\n'.join(out) + '\n'


class Feeder:
    """Sends the same lines to every member, several times a second, as one that writes to all does."""

    def __init__(self, members, lines, every=0.25):
        self.members, self.lines, self.every = members, lines, every
        self.sent, self.stopped = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(self.every):
            text = self.lines()
            for member in self.members:
                try:
                    member.write(text)
                except (OSError, Failed, http.client.HTTPException):
                    pass  # a member that is down misses data, as it would in the field
            self.sent += text.count('\n')

    def stop(self):
        self.stopped.set()
        self.thread.join()
