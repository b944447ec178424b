#!/usr/bin/env python3
"""Benchmark harness for servers that speak Kapacitor's HTTP API.

Runs named workloads against one server, or against two alternately, checks
that the results are right, and reports points/s, server CPU seconds per
million points and memory.  Standard library only; see README.md.
"""
import argparse
import datetime
import glob
import hashlib
import http.client
import json
import math
import os
import platform
import selectors
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get('BENCH_BIN', os.path.join(HERE, 'bin'))   # where the compiled helpers go
TICK = os.sysconf('SC_CLK_TCK')
T0_MS = 1600000200000           # a multiple of 30 minutes
T0 = T0_MS // 1000
DB, RP = 'bench', 'autogen'
BASE = '/kapacitor/v1'
PORT_LO, PORT_HI = 19000, 19079
SINK_PORT = 19090
MB = 1024.0 * 1024.0


class SlowSink(threading.Thread):
    """An HTTP receiver that answers one request at a time, each after a delay."""

    def __init__(self, port, delay_s):
        super().__init__(daemon=True)
        self.delay, self.bodies, self.conns, self.open, self.max_open = delay_s, [], 0, 0, 0
        self.sel = selectors.DefaultSelector()
        self.lsock = socket.socket()
        self.lsock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.lsock.bind(('127.0.0.1', port))
        self.lsock.listen(1024)
        self.lsock.setblocking(False)
        self.sel.register(self.lsock, selectors.EVENT_READ, None)
        self.going = True

    def run(self):
        while self.going:
            for key, _ in self.sel.select(0.1):
                if key.data is None:
                    try:
                        c, _ = self.lsock.accept()
                    except BlockingIOError:
                        continue
                    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.sel.register(c, selectors.EVENT_READ, bytearray())
                    self.conns += 1
                    self.open += 1
                    self.max_open = max(self.max_open, self.open)
                else:
                    self.serve(key.fileobj, key.data)
        for key in list(self.sel.get_map().values()):
            key.fileobj.close()
        self.sel.close()

    def serve(self, c, buf):
        try:
            data = c.recv(65536)
        except OSError:
            data = b''
        if not data:
            self.sel.unregister(c)
            c.close()
            self.open -= 1
            return
        buf += data
        while True:
            head = buf.find(b'\r\n\r\n')
            if head < 0:
                return
            h = bytes(buf[:head]).lower()
            if b'transfer-encoding: chunked' in h:
                end = buf.find(b'0\r\n\r\n', head + 4)
                if end < 0:
                    return
                size = end + 5
                body = bytes(buf[head + 4:size])
                body = body[body.find(b'{'):body.rfind(b'}') + 1]
            else:
                at = h.find(b'content-length:')
                size = head + 4 + (int(h[at + 15:].split(b'\r\n')[0]) if at >= 0 else 0)
                if len(buf) < size:
                    return
                body = bytes(buf[head + 4:size])
            del buf[:size]
            time.sleep(self.delay)
            self.bodies.append(body)
            try:
                c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
            except OSError:
                return

    def stop(self):
        self.going = False
        self.join()


class Failure(Exception):
    """The server did not do what the workload needs."""


# --------------------------------------------------------------------------
# machine and process figures

def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ''


def session_pids(sid):
    """Every live process of the session that the server was started in."""
    pids = []
    for path in glob.glob('/proc/[0-9]*/stat'):
        text = read(path)
        if not text:
            continue
        rest = text[text.rindex(')') + 2:].split()
        if int(rest[3]) == sid:
            pids.append(int(text.split(' ', 1)[0]))
    return pids


def proc_cpu(pid):
    text = read('/proc/%d/stat' % pid)
    if not text:
        return 0.0
    rest = text[text.rindex(')') + 2:].split()
    # utime, stime and what waited-for children used
    return sum(int(x) for x in rest[11:15]) / TICK


def proc_mem(pid):
    out = {'VmHWM': 0, 'VmRSS': 0, 'RssAnon': 0, 'Threads': 0}
    for line in read('/proc/%d/status' % pid).splitlines():
        key, _, val = line.partition(':')
        if key in out:
            n = int(val.split()[0])
            out[key] = n if key == 'Threads' else n * 1024
    return out


def proc_written(pid):
    """Bytes this process caused to be written to storage."""
    for line in read('/proc/%d/io' % pid).splitlines():
        if line.startswith('write_bytes:'):
            return int(line.split()[1])
    return 0


def machine_speed():
    """Milliseconds for a fixed piece of work: shows when the machine itself ran slower."""
    data, best = bytes(4 << 20), []
    for _ in range(5):
        t = time.process_time()
        hashlib.sha256(data).digest()
        best.append((time.process_time() - t) * 1e3)
    return statistics.median(best)


def machine_cpu():
    """(busy seconds of all CPUs, stolen seconds) since boot."""
    f = [int(x) for x in read('/proc/stat').splitlines()[0].split()[1:]]
    return (f[0] + f[1] + f[2] + f[5] + f[6]) / TICK, (f[7] if len(f) > 7 else 0) / TICK


def wait_for_quiet(limit_s, max_share):
    """Wait until the rest of the machine uses little CPU; returns its last share of one CPU."""
    deadline = time.monotonic() + limit_s
    share = 0.0
    while True:
        a = machine_cpu()[0]
        t = time.monotonic()
        time.sleep(0.7)
        share = (machine_cpu()[0] - a) / (time.monotonic() - t)
        if share <= max_share or time.monotonic() > deadline:
            return share


# --------------------------------------------------------------------------
# the server under test

class Server:
    def __init__(self, name, template, workdir, port, opts, persist=True):
        self.name, self.template, self.port, self.opts = name, template, port, opts
        self.dir = os.path.join(workdir, 'data')
        self.log = os.path.join(workdir, 'server.log')
        self.out = os.path.join(workdir, 'server.out')
        self.conf = os.path.join(workdir, 'kapacitor.conf')
        os.makedirs(self.dir, exist_ok=True)
        text = read(os.path.join(HERE, 'server.conf.in'))
        for key, val in (('DIR', self.dir), ('PORT', str(port)), ('LOG', self.log),
                         ('PERSIST', 'true' if persist else 'false'),
                         ('HTTPLOG', 'true' if opts.http_log else 'false'),
                         ('STATS', 'true' if opts.internal_stats else 'false'),
                         ('LEVEL', opts.log_level)):
            text = text.replace('@%s@' % key, val)
        with open(self.conf, 'w') as f:
            f.write(text)
        self.proc = None
        self.version = None
        self.conn = None

    def start(self):
        """Start and wait for ping. Returns seconds from exec to the first ping answered."""
        cmd = self.template
        if '{conf}' not in cmd and '{port}' not in cmd and '{dir}' not in cmd:
            cmd += ' -config {conf}'
        argv = [a.format(conf=self.conf, port=self.port, dir=self.dir, log=self.log)
                for a in shlex.split(cmd)]
        probe = socket.socket()
        busy = probe.connect_ex(('127.0.0.1', self.port)) == 0
        probe.close()
        if busy:
            raise Failure('port %d is taken' % self.port)
        t = time.monotonic()
        with open(self.out, 'ab') as out:
            self.proc = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                         start_new_session=True)
        deadline = t + self.opts.start_timeout
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise Failure('server exited with %s at start; see %s' % (self.proc.returncode, self.out))
            try:
                c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=5)
                c.request('GET', BASE + '/ping')
                r = c.getresponse()
                r.read()
                if r.status == 204:
                    self.version = r.getheader('X-Kapacitor-Version') or ''
                    c.close()
                    return time.monotonic() - t
                c.close()
            except OSError:
                pass
            time.sleep(0.005)
        raise Failure('no ping within %d s' % self.opts.start_timeout)

    def stop(self):
        """Terminate by pid; returns seconds it took."""
        if not self.proc:
            return 0.0
        if self.conn:
            self.conn.close()
            self.conn = None
        t = time.monotonic()
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(self.opts.stop_timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        for pid in session_pids(self.proc.pid):     # workers left behind, if any
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return time.monotonic() - t

    def sample(self):
        pids = session_pids(self.proc.pid) or [self.proc.pid]
        mem = [proc_mem(p) for p in pids]
        return {
            't': time.monotonic(),
            'cpu': sum(proc_cpu(p) for p in pids),
            'rss': sum(m['VmRSS'] for m in mem),
            'anon': sum(m['RssAnon'] for m in mem),
            'peak': sum(m['VmHWM'] for m in mem),
            'written': sum(proc_written(p) for p in pids),
            'threads': sum(m['Threads'] for m in mem),
            'fds': sum(len(os.listdir('/proc/%d/fd' % p)) for p in pids if os.path.isdir('/proc/%d/fd' % p)),
        }

    def call(self, method, path, body=None, want=(200, 204), raw=False):
        data = None
        headers = {}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers['Content-Type'] = 'text/plain' if isinstance(body, bytes) else 'application/json'
        for attempt in (0, 1):
            try:
                if self.conn is None:
                    self.conn = http.client.HTTPConnection('127.0.0.1', self.port, timeout=120)
                self.conn.request(method, path, data, headers)
                r = self.conn.getresponse()
                payload = r.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self.conn.close()
                self.conn = None
                if attempt or method == 'POST':
                    raise
        if want and r.status not in want:
            raise Failure('%s %s answered %d: %.300s' % (method, path, r.status, payload.decode('utf-8', 'replace')))
        if raw:
            return r.status, payload
        return json.loads(payload) if payload else None

    def define(self, tid, script, enabled=True):
        return self.call('POST', BASE + '/tasks', {
            'id': tid, 'type': 'stream', 'dbrps': [{'db': DB, 'rp': RP}],
            'script': script, 'status': 'enabled' if enabled else 'disabled'})

    def need_executing(self, tid):
        d = self.call('GET', BASE + '/tasks/' + tid)
        if not d.get('executing') or d.get('error'):
            raise Failure('task %s is not executing: %s' % (tid, d.get('error')))

    def write(self, lines):
        body = ('\n'.join(lines) + '\n').encode()
        return self.call('POST', BASE + '/write?db=%s&rp=%s&precision=ms' % (DB, RP), body, want=(204,))

    def http_out(self, tid, endpoint='last'):
        """{host: {column: value}} of the newest row of every series; series not ready yet are skipped."""
        status, payload = self.call('GET', BASE + '/tasks/%s/%s' % (tid, endpoint), want=None, raw=True)
        if status != 200:
            return {}
        out = {}
        for s in (json.loads(payload).get('series') or []):
            if not s or not s.get('values'):
                continue
            out[s.get('tags', {}).get('host')] = dict(zip(s['columns'], s['values'][-1]))
        return out


# --------------------------------------------------------------------------
# the data: the same formula as in loadgen.c

class Wave:
    """value(s,i) = base + bs*s + scale * ((q*i*i + p*i + r*s) mod m)"""

    def __init__(self, name, base, bs, scale, q, p, r, m, integer=False):
        self.name, self.base, self.bs, self.scale = name, base, bs, scale
        self.q, self.p, self.r, self.m, self.integer = q, p, r, m, integer

    def spec(self):
        return '%s:%s:%r,%r,%r,%d,%d,%d,%d' % (self.name, 'i' if self.integer else 'f', self.base, self.bs,
                                              self.scale, self.q, self.p, self.r, self.m)

    def w(self, s, i):
        return (self.q * i * i + self.p * i + self.r * s) % self.m

    def __call__(self, s, i):
        v = self.base + self.bs * s + self.scale * self.w(s, i)
        return int(v) if self.integer else v


SLOW_FLIPS = Wave('value', 0, 0, 0.125, 0, 1, 1, 1000)   # critical for 39 steps of every 1000
FAST_FLIPS = Wave('value', 0, 0, 100.0, 0, 1, 1, 3)      # critical for 1 step of every 3
AUX = Wave('aux', 0, 0, 1, 0, 7, 0, 10, integer=True)


def host(s):
    return 'h%05d' % s


def tms(i, step_ms):
    return T0_MS + i * step_ms


def parse_time_ms(text):
    """RFC 3339 (any number of decimals, Z or offset) to epoch milliseconds."""
    body, off = text, 0
    if body.endswith('Z'):
        body = body[:-1]
    elif len(body) > 6 and body[-6] in '+-' and body[-3] == ':':
        off = (int(body[-5:-3]) * 60 + int(body[-2:])) * (-1 if body[-6] == '+' else 1)
        body = body[:-6]
    body, _, frac = body.partition('.')
    d = datetime.datetime.strptime(body, '%Y-%m-%dT%H:%M:%S').replace(tzinfo=datetime.timezone.utc)
    return int(d.timestamp()) * 1000 + off * 60000 + int((frac + '000')[:3])


def close_to(a, b, rel=1e-9):
    return a is not None and abs(a - b) <= rel * max(1.0, abs(a), abs(b))


# --------------------------------------------------------------------------
# one run of one workload

class Run:
    def __init__(self, opts, spec, workload, workdir, port):
        self.opts, self.spec, self.workload = opts, spec, workload
        self.dir, self.port = workdir, port
        self.alert_log = os.path.join(workdir, 'alerts.log')
        self.res = {'workload': workload.__name__[3:], 'server': spec[0], 'ok': False, 'problems': []}
        self.srv = None

    def tick(self, name, **vals):
        text = read(os.path.join(HERE, 'tick', name + '.tick'))
        vals.setdefault('ALERTLOG', self.alert_log)
        vals.setdefault('SINKPORT', SINK_PORT)
        for k, v in vals.items():
            text = text.replace('@%s@' % k, str(v))
        return text

    def steps(self, n, multiple=1, least=None):
        k = int(n * self.opts.scale)
        k = max(k, least or multiple)
        return k - k % multiple

    def start(self, **kw):
        self.srv = Server(self.spec[0], self.spec[1], self.dir, self.port, self.opts, **kw)
        s = self.srv.start()
        self.res['version'] = self.srv.version
        return s

    def check_alert_nodes(self, want):
        """Where the server reports node statistics, its alert nodes must have seen every point.

        Alerts alone would not show the loss of a point that changes no state.
        want: {task id: points}.
        """
        seen, wrong, offset = 0, [], 0
        while True:
            page = self.srv.call('GET', BASE + '/tasks?fields=stats&limit=1000&offset=%d' % offset).get('tasks') or []
            for task in page:
                for node, st in ((task.get('stats') or {}).get('node-stats') or {}).items():
                    if node.startswith('alert') and 'collected' in st and task['id'] in want:
                        seen += 1
                        if st['collected'] != want[task['id']]:
                            wrong.append((task['id'], st['collected'], want[task['id']]))
            offset += len(page)
            if len(page) < 1000:
                break
        self.res['alert_nodes_checked'] = seen
        if wrong:
            self.problem('%d alert nodes did not see every point, e.g. %s: %d of %d' % ((len(wrong),) + wrong[0]))

    def problem(self, text):
        if len(self.res['problems']) < 10:
            self.res['problems'].append(text)

    def loadgen_argv(self, series, steps, step_ms, meas, rate=0, first=0, conns=None, batch=None, prefix=None):
        argv = [os.path.join(BIN, 'loadgen'), '--port', str(self.port), '--db', DB, '--rp', RP,
                '--conns', str(conns or self.opts.conns), '--batch', str(batch or self.opts.batch),
                '--series', str(series), '--steps', str(steps), '--first', str(first),
                '--t0', str(T0_MS), '--step-ms', str(step_ms), '--max-seconds', str(self.opts.timeout)]
        if rate:
            argv += ['--rate', str(rate)]
        if prefix:
            argv += ['--prefix', prefix]
        for name, offset, waves in meas:
            argv += ['--meas', '%s@%d;%s' % (name, offset, ';'.join(w.spec() for w in waves))]
        return argv

    def load(self, argv):
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not p.stdout.strip():
            raise Failure('loadgen: ' + p.stderr.strip())
        lg = json.loads(p.stdout)
        self.res['loadgen'] = lg
        if lg['failed_conns'] or lg['non204'] or lg['points_ok'] != lg['points_built']:
            raise Failure('loadgen: %d failed connections, %d answers other than 204 (first %s %s), %d of %d points'
                          % (lg['failed_conns'], lg['non204'], lg['first_bad_status'], lg['first_bad'],
                             lg['points_ok'], lg['points_built']))
        return lg

    def drive(self, argv, done, flush=None, settle=1.0):
        """Load, wait until done() is true, and fill in the common figures."""
        srv, res = self.srv, self.res
        time.sleep(0.3)
        a = srv.sample()
        lg = self.load(argv)
        points = lg['points_ok']
        if flush:
            points += flush()
        deadline = time.monotonic() + self.opts.timeout
        pause = 0.01
        polls = 0
        while True:
            t = time.monotonic()
            fin = done()
            t_end = time.monotonic()
            polls += 1
            if fin:
                break
            if t_end > deadline:
                self.problem('not processed within %d s after the last write' % self.opts.timeout)
                break
            if srv.proc.poll() is not None:
                raise Failure('server died (%s)' % srv.proc.returncode)
            # polling may cost the server at most about a tenth of one CPU
            pause = min(max(pause, (t_end - t) * 10), 0.5)
            time.sleep(pause)
        cpu_at_end = srv.sample()['cpu']
        time.sleep(settle)
        b = srv.sample()
        wall = t_end - lg['t_start']
        cpu = b['cpu'] - a['cpu']
        res.update({
            'points': points, 'wall_s': wall, 'points_per_s': points / wall,
            'write_wall_s': lg['wall_s'], 'drain_s': t_end - lg['t_end'], 'polls': polls,
            'cpu_s': cpu, 'cpu_after_end_s': b['cpu'] - cpu_at_end, 'cpu_s_per_mpoint': cpu / points * 1e6,
            'cpus_used': (cpu_at_end - a['cpu']) / wall,
            'rss_start': a['rss'], 'rss_end': b['rss'], 'rss_peak': b['peak'], 'anon_start': a['anon'],
            'anon_end': b['anon'], 'fds_end': b['fds'], 'threads_end': b['threads'],
            'disk_written': b['written'] - a['written'],
            'post_p50_ms': lg['post_p50_ms'], 'post_p99_ms': lg['post_p99_ms'], 'loadgen_cpu_s': lg['cpu_s'],
        })
        return lg

    # ---- alert log -------------------------------------------------------

    def alert_lines(self):
        """Number of complete lines in the alert log, read incrementally."""
        st = self.__dict__.setdefault('_alog', {'pos': 0, 'lines': 0})
        try:
            with open(self.alert_log, 'rb') as f:
                f.seek(st['pos'])
                chunk = f.read()
        except OSError:
            return 0
        st['pos'] += len(chunk)
        st['lines'] += chunk.count(b'\n')
        return st['lines']

    def check_alerts(self, want):
        """want: {id: [(level, time_ms), ...]} in order. Exact match, nothing more, nothing less."""
        got = {}
        for line in read(self.alert_log).splitlines():
            try:
                d = json.loads(line)
            except ValueError:
                self.problem('alert log line is not JSON: %.100s' % line)
                continue
            got.setdefault(d.get('id'), []).append((d.get('level'), parse_time_ms(d.get('time', '1970-01-01T00:00:00Z'))))
            if d.get('message') != '%s is %s' % (d.get('id'), d.get('level')):
                self.problem('wrong message %r' % d.get('message'))
        n_want = sum(map(len, want.values()))
        n_got = sum(map(len, got.values()))
        self.res['alerts'] = n_got
        if n_want != n_got:
            self.problem('%d alerts, expected %d' % (n_got, n_want))
        bad = [k for k in want if got.get(k, []) != want[k]]
        if bad:
            self.problem('%d ids with wrong alerts, e.g. %s: got %s, want %s'
                         % (len(bad), bad[0], got.get(bad[0]), want[bad[0]]))
        alien = [k for k in got if k not in want]
        if alien:
            self.problem('unexpected alert ids: %s' % alien[:3])


_events = {}


def expected_events(wave, limit, series, steps, step_ms):
    """State changes of 'value > limit' per host, and the final state."""
    key = (wave.spec(), limit, series, steps, step_ms)
    if key not in _events:
        ev, last = {}, {}
        w_limit = (limit - wave.base) / wave.scale
        q, p, m = wave.q, wave.p, wave.m
        for s in range(series):
            crit, lst, off = False, [], wave.r * s
            for i in range(steps):
                c = ((q * i + p) * i + off) % m > w_limit
                if c != crit:
                    crit = c
                    lst.append(('CRITICAL' if c else 'OK', tms(i, step_ms)))
            ev[host(s)] = lst
            last[s] = crit
        _events[key] = (ev, last)
    ev, last = _events[key]
    return {k: list(v) for k, v in ev.items()}, dict(last)


def flip_lines(run, want, last, which, steps, step_ms):
    """One more point for each series in which, turning its state over; extends want."""
    lines = []
    for s in which:
        v = 0.0 if last[s] else 1000.0
        want.setdefault(host(s), []).append(('OK' if last[s] else 'CRITICAL', tms(steps, step_ms)))
        lines.append('cpu,dc=dc%d,host=%s value=%.1f,aux=0i %d' % (s % 8, host(s), v, tms(steps, step_ms)))

    def flush():
        run.srv.write(lines)
        return len(lines)
    return flush


# --------------------------------------------------------------------------
# workloads

def wl_ingest(r):
    """Parse and drop: no task at all."""
    series, steps = 1000, r.steps(6000)
    waves = [Wave('usage_idle', 10, 0.25, 0.25, 3, 1, 7, 97), Wave('usage_user', 1, 0, 0.125, 1, 5, 3, 89),
             Wave('procs', 100, 1, 1, 0, 3, 1, 50, integer=True), AUX]
    r.start()
    r.drive(r.loadgen_argv(series, steps, 1000, [('cpu', 0, waves)]), done=lambda: True)
    # It must have parsed: one bad line in a batch has to be refused.
    for bad in (b'cpu,host=h1 value=1 1600000200000\ncpu,host=h1 value= 1600000200000\n',
                b'cpu,host=h1 value=1 1600000200000\nno_fields_here\n'):
        st, _ = r.srv.call('POST', BASE + '/write?db=%s&rp=%s&precision=ms' % (DB, RP), bad, want=None, raw=True)
        if st != 400:
            r.problem('a malformed line was answered %d, expected 400' % st)
    # Where the server exports its own counter, it must agree.
    st, payload = r.srv.call('GET', BASE + '/debug/vars', want=None, raw=True)
    seen = None
    if st == 200:
        try:
            for v in json.loads(payload).get('kapacitor', {}).values():
                if v.get('name') == 'ingress' and v.get('tags', {}).get('database') == DB:
                    seen = (seen or 0) + v['values'].get('points_received', 0)
        except (ValueError, AttributeError):
            pass
    r.res['ingress_counter'] = seen
    if seen is not None and seen < r.res['points']:
        r.problem('server counted %d points of %d' % (seen, r.res['points']))


def threshold(r, persist, wave, steps):
    series = 1000
    want, last = expected_events(wave, 120.0, series, steps, 1000)
    flush = flip_lines(r, want, last, range(0, series, 10), steps, 1000)
    total = sum(map(len, want.values()))
    r.start(persist=persist)
    r.srv.define('threshold', r.tick('threshold'))
    r.srv.need_executing('threshold')
    r.drive(r.loadgen_argv(series, steps, 1000, [('cpu', 0, [wave, AUX])]),
            done=lambda: r.alert_lines() >= total, flush=flush)
    r.check_alerts(want)
    r.check_alert_nodes({'threshold': series * steps + series // 10})


def wl_threshold(r):
    """Alert per host on a threshold, state changes to a log file; alert states kept on disk (the default)."""
    threshold(r, True, SLOW_FLIPS, r.steps(1000))


def wl_threshold_nopersist(r):
    """The same with [alert] persist-topics = false."""
    threshold(r, False, SLOW_FLIPS, r.steps(2000))


def wl_alert_storm(r):
    """1000 hosts that change state on two of every three points; states not kept on disk."""
    threshold(r, False, FAST_FLIPS, r.steps(120, 1, 3))
    if r.res.get('alerts'):
        r.res['alerts_per_s'] = r.res['alerts'] / r.res['wall_s']
        r.res['cpu_us_per_alert'] = r.res['cpu_s'] / r.res['alerts'] * 1e6


def wl_slow_sink(r):
    """10,000 alerts in a burst to a receiver that takes 1 ms for each; lost alerts are a figure, not a failure."""
    series, steps, res = 1000, r.steps(15, 1, 3), r.res
    want, _ = expected_events(FAST_FLIPS, 120.0, series, steps, 1000)
    total = sum(map(len, want.values()))
    sink = SlowSink(SINK_PORT, 0.001)
    sink.start()
    try:
        r.start(persist=False)
        r.srv.define('slow_sink', r.tick('slow_sink'))
        r.srv.need_executing('slow_sink')
        a = r.srv.sample()
        lg = r.load(r.loadgen_argv(series, steps, 1000, [('cpu', 0, [FAST_FLIPS, AUX])]))
        fds, seen, since = 0, -1, time.monotonic()
        while len(sink.bodies) < total and time.monotonic() - since < 5:
            if len(sink.bodies) != seen:
                seen, since = len(sink.bodies), time.monotonic()
            fds = max(fds, r.srv.sample()['fds'])
            time.sleep(0.05)
        done = time.monotonic() if len(sink.bodies) >= total else since
        b = r.srv.sample()
    finally:
        sink.stop()
    got = {}
    for body in sink.bodies:
        d = json.loads(body)
        got.setdefault(d['id'], []).append((d['level'], parse_time_ms(d['time'])))
    delivered = sum(map(len, got.values()))
    for k, lst in got.items():
        it = iter(want.get(k, []))
        if not all(x in it for x in lst):       # a subsequence: nothing twice, nothing out of order
            r.problem('%s: alerts out of order, repeated or wrong: %s' % (k, lst[:6]))
            break
    res.update({'points': lg['points_ok'], 'wall_s': done - lg['t_start'], 'alerts': delivered, 'alerts_wanted': total,
                'alerts_lost': total - delivered, 'lost_percent': (total - delivered) / total * 100,
                'cpu_s': b['cpu'] - a['cpu'], 'rss_peak': b['peak'], 'rss_end': b['rss'], 'fds_max': fds,
                'sink_connections': sink.conns, 'sink_max_open': sink.max_open})


def window_expect(wave, steps, period, every):
    n, mean, m2, dev, last = 0, 0.0, 0.0, 0.0, None
    for end in range(every, steps + 1, every):
        pts = [wave(0, i) for i in range(max(0, end - period), end)]
        last = sum(pts) / len(pts)
        n += 1
        d = last - mean
        mean += d / n
        m2 += d * (last - mean)
        dev = abs(last - mean) / math.sqrt(m2 / (n - 1)) if n > 1 and m2 > 0 else 0.0
    return n, last, dev


def check_series(r, task, series, rows, expect):
    """expect(s) -> {column: value}; every host must be there with these values."""
    if len(rows) != series:
        r.problem('%d series in the result of %s, expected %d' % (len(rows), task, series))
    bad = 0
    for s in range(series):
        row, exp = rows.get(host(s), {}), expect(s)
        for col, val in exp.items():
            g = row.get(col)
            good = (g is not None and parse_time_ms(g) == val) if col == 'time' else close_to(g, val, 1e-7)
            if not good:
                bad += 1
                if bad == 1:
                    r.problem('%s: %s = %r, expected %r' % (host(s), col, g, val))
                break
    if bad:
        r.problem('%d of %d series wrong' % (bad, series))


def all_reached(r, task, series, n):
    def done():
        rows = r.srv.http_out(task)
        return len(rows) == series and all(row.get('n') == n for row in rows.values())
    return done


def wl_window_mean(r):
    """Sliding mean of one minute every ten seconds, 1000 hosts, one point per host and second."""
    series, steps = 1000, r.steps(2000, 10, 70)
    wave = Wave('value', 20, 0.0625, 0.25, 3, 5, 0, 997)
    n, mean, dev = window_expect(wave, steps, 60, 10)
    r.start()
    r.srv.define('window_mean', r.tick('window_mean'))
    r.srv.need_executing('window_mean')
    r.drive(r.loadgen_argv(series, steps + 1, 1000, [('cpu', 0, [wave, AUX])]),
            done=all_reached(r, 'window_mean', series, n))
    check_series(r, 'window_mean', series, r.srv.http_out('window_mean'),
                 lambda s: {'time': tms(steps, 1000), 'n': n, 'mean': mean + 0.0625 * s, 'dev': dev})


def wl_many_tasks(r):
    """500 tasks, each watching another host with a where lambda."""
    tasks, series, steps = 500, 500, r.steps(60)
    wave = Wave('value', 0, 0, 0.125, 0, 50, 2, 1000)
    want, last = expected_events(wave, 120.0, series, steps, 1000)
    flush = flip_lines(r, want, last, range(series), steps, 1000)
    total = sum(map(len, want.values()))
    r.start()
    for k in range(tasks):
        r.srv.define('t%05d' % k, r.tick('many_tasks', HOST=host(k)))
    r.srv.need_executing('t%05d' % (tasks - 1))
    r.drive(r.loadgen_argv(series, steps, 1000, [('cpu', 0, [wave, AUX])], batch=500),
            done=lambda: r.alert_lines() >= total, flush=flush)
    r.res['task_points_per_s'] = r.res['points_per_s'] * tasks
    r.check_alerts(want)
    r.check_alert_nodes({'t%05d' % k: steps + 1 for k in range(tasks)})


def wl_window_memory(r):
    """4000 hosts times 180 points resident in a 30 minute window."""
    series, period, every = 4000, 180, 30
    steps = r.steps(360, every, 210)
    wave = Wave('value', 20, 0.0625, 0.25, 3, 5, 0, 997)
    n, mean, _ = window_expect(wave, steps, period, every)
    r.start()
    r.srv.define('window_memory', r.tick('window_memory'))
    r.srv.need_executing('window_memory')
    r.drive(r.loadgen_argv(series, steps + 1, 10000, [('cpu', 0, [wave, AUX])]),
            done=all_reached(r, 'window_memory', series, n), settle=r.opts.memory_settle)
    resident = series * (period + 1)
    res = r.res
    res['resident_points'] = resident
    res['bytes_per_resident_point'] = (res['rss_end'] - res['rss_start']) / resident
    res['peak_bytes_per_resident_point'] = (res['rss_peak'] - res['rss_start']) / resident
    check_series(r, 'window_memory', series, r.srv.http_out('window_memory'),
                 lambda s: {'time': tms(steps, 10000), 'n': n, 'mean': mean + 0.0625 * s})


def wl_eval_chain(r):
    """Arithmetic and functions, a filter, a derivative, the last value over HTTP."""
    series, steps = 1000, r.steps(1000, 1, 20)
    wave = Wave('value', 10, 0.0625, 0.25, 3, 5, 0, 97)

    def pick(s, i):
        v = wave(s, i)
        warm = v * 1.8 + 32.0
        score = math.sqrt(abs(v - 50.0)) + math.pow(v / 100.0, 2.0)
        return (warm if AUX(s, i) % 2 == 0 else warm + score), score
    passed = [i for i in range(steps) if AUX(0, i) >= 3]
    n, i1, i0 = len(passed) - 1, passed[-1], passed[-2]
    r.start()
    r.srv.define('eval_chain', r.tick('eval_chain'))
    r.srv.need_executing('eval_chain')
    r.drive(r.loadgen_argv(series, steps, 1000, [('cpu', 0, [wave, AUX])]),
            done=all_reached(r, 'eval_chain', series, n))
    check_series(r, 'eval_chain', series, r.srv.http_out('eval_chain'),
                 lambda s: {'time': tms(i1, 1000), 'n': n, 'score': pick(s, i1)[1],
                            'rate': (pick(s, i1)[0] - pick(s, i0)[0]) / (i1 - i0)})


def wl_join(r):
    """Two measurements joined per host within a second, then divided."""
    series, steps = 1000, r.steps(500, 1, 5)
    errors = Wave('value', 1, 0.0625, 0.25, 3, 5, 0, 97)
    requests = Wave('value', 100, 0.25, 0.5, 5, 3, 0, 89)
    r.start()
    r.srv.define('join', r.tick('join'))
    r.srv.need_executing('join')
    r.drive(r.loadgen_argv(series, steps, 10000, [('errors', 0, [errors]), ('requests', 300, [requests])]),
            done=all_reached(r, 'join', series, steps))
    i = steps - 1
    check_series(r, 'join', series, r.srv.http_out('join'),
                 lambda s: {'time': tms(i, 10000), 'n': steps, 'ratio': errors(s, i) / requests(s, i)})


def wl_define(r):
    """Define 500 enabled tasks one by one, then restart on the same data."""
    tasks = r.steps(500, 1, 5)
    res = r.res
    res['first_start_s'] = r.start()
    srv = r.srv
    time.sleep(0.3)
    a = srv.sample()
    t = time.monotonic()
    slowest = 0.0
    for k in range(tasks):
        t1 = time.monotonic()
        srv.define('t%05d' % k, r.tick('many_tasks', HOST=host(k)))
        slowest = max(slowest, time.monotonic() - t1)
    res['define_s'] = time.monotonic() - t
    res['define_slowest_ms'] = slowest * 1e3
    b = srv.sample()
    res['define_cpu_s'] = b['cpu'] - a['cpu']
    time.sleep(2)
    c = srv.sample()
    time.sleep(5)
    d = srv.sample()
    res['idle_cpu_percent'] = (d['cpu'] - c['cpu']) / (d['t'] - c['t']) * 100
    res['rss_tasks'] = d['rss']
    res['kib_per_task'] = (d['rss'] - a['rss']) / 1024 / tasks

    def executing():
        ids = set()
        offset = 0
        while True:
            page = srv.call('GET', BASE + '/tasks?fields=status&fields=executing&fields=error&limit=1000&offset=%d'
                            % offset)['tasks']
            ids.update(x['id'] for x in page if x.get('executing') and not x.get('error'))
            offset += len(page)
            if len(page) < 1000:
                return len(ids)
    if executing() != tasks:
        r.problem('only %d of %d tasks executing after define' % (executing(), tasks))
    t = time.monotonic()
    executing()
    res['list_ms'] = (time.monotonic() - t) * 1e3
    res['stop_s'] = srv.stop()
    t = time.monotonic()
    res['restart_ping_s'] = srv.start()
    n = 0
    while time.monotonic() - t < r.opts.timeout:
        n = executing()
        if n == tasks:
            break
        time.sleep(0.02)
    res['restart_executing_s'] = time.monotonic() - t
    if n != tasks:
        r.problem('only %d of %d tasks executing after the restart' % (n, tasks))
    e = srv.sample()
    res['restart_cpu_s'] = e['cpu']
    # The tasks must really run: every one of them gets one critical point.
    srv.write(['cpu,dc=dc0,host=%s value=1000,aux=0i %d' % (host(k), T0_MS) for k in range(tasks)])
    deadline = time.monotonic() + 60
    while r.alert_lines() < tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    r.check_alerts({host(k): [('CRITICAL', T0_MS)] for k in range(tasks)})
    f = srv.sample()
    res.update({'rss_end': f['rss'], 'rss_peak': f['peak'], 'wall_s': res['define_s'], 'cpu_s': res['define_cpu_s']})


def latency(r, rate):
    res = r.res
    flips = r.steps(500, 1, 20)
    r.start()
    r.srv.define('alert_latency', r.tick('alert_latency'))
    r.srv.need_executing('alert_latency')
    back = None
    a = r.srv.sample()
    if rate:
        r.srv.define('window_mean', r.tick('window_mean'))
        r.srv.need_executing('window_mean')
        wave = Wave('value', 20, 0.0625, 0.25, 3, 5, 0, 997)
        seconds = flips * 0.011 + 4
        argv = r.loadgen_argv(1000, int(rate * seconds / 1000) + 1, 1000, [('cpu', 0, [wave, AUX])],
                              rate=rate, conns=2, batch=1000)
        back = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2.0)
    try:
        p = subprocess.run([os.path.join(BIN, 'latprobe'), '--port', str(r.port), '--sink-port', str(SINK_PORT),
                            '--n', str(flips), '--warm', '20', '--gap-ms', '5'],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=r.opts.timeout)
    except subprocess.TimeoutExpired:
        if back:
            back.kill()
            back.wait()
        raise
    if back:
        running = back.poll() is None
        out, _ = back.communicate(timeout=r.opts.timeout)
        lg = json.loads(out)
        res['background'] = {'points': lg['points_ok'], 'points_per_s': lg['points_ok'] / lg['wall_s'],
                             'non204': lg['non204'], 'covered': running}
        res['background_points_per_s'] = res['background']['points_per_s']
        if lg['non204'] or lg['failed_conns']:
            r.problem('the background load was refused')
        if not running:
            res['notes'] = 'background load ended before the last flip'
    b = r.srv.sample()
    if not p.stdout.strip():
        raise Failure('latprobe: ' + p.stderr.strip())
    lp = json.loads(p.stdout)
    res['latency'] = lp
    res.update({'ack_p50_ms': lp['ack_p50_ms'], 'sink_connections': lp['sink_connections'],
                'sink_max_open': lp['sink_max_open'], 'p50_ms': lp['p50_ms'], 'p99_ms': lp['p99_ms'], 'max_ms': lp['max_ms'],
                'wall_s': lp['wall_s'], 'cpu_s': b['cpu'] - a['cpu'], 'rss_end': b['rss'], 'rss_peak': b['peak'],
                'fds_end': b['fds']})
    if lp['missed'] or lp['wrong'] or lp['extra'] or lp['non204']:
        r.problem('%(missed)d alerts missed, %(wrong)d wrong, %(extra)d extra, %(non204)d writes refused' % lp)


def wl_alert_latency(r):
    """From the POST of one point that flips the state to the alert's POST at a sink."""
    latency(r, 0)


def wl_alert_latency_loaded(r):
    """The same while 50,000 points/s run through a windowed mean."""
    latency(r, 50000)


WORKLOADS = ['ingest', 'threshold', 'threshold_nopersist', 'alert_storm', 'window_mean', 'many_tasks', 'window_memory',
             'eval_chain', 'join', 'define', 'alert_latency', 'alert_latency_loaded', 'slow_sink']

# What the tables show: (key, heading, format); lower is better unless marked.
COMMON = [('points', 'points', '%d'), ('wall_s', 'wall s', '%.2f'), ('points_per_s', 'points/s', '%.0f'), ('points_per_s_max', 'best', '%.0f'),
          ('cpu_s_per_mpoint', 'CPU s/Mpt', '%.3f'), ('cpu_s_per_mpoint_min', 'best', '%.3f'), ('cpus_used', 'CPUs', '%.2f'),
          ('rss_peak', 'peak MB', 'MB'), ('rss_end', 'end MB', 'MB'), ('other_cpus', 'other CPUs', '%.2f'),
          ('speed_ms', 'speed ms', '%.2f')]
EXTRA = {
    'ingest': [('post_p99_ms', 'POST p99 ms', '%.1f')],
    'threshold': [('alerts', 'alerts', '%d'), ('drain_s', 'drain s', '%.2f'), ('disk_written', 'disk MB', 'MB')],
    'threshold_nopersist': [('alerts', 'alerts', '%d'), ('drain_s', 'drain s', '%.2f'), ('disk_written', 'disk MB', 'MB')],
    'alert_storm': [('alerts', 'alerts', '%d'), ('alerts_per_s', 'alerts/s', '%.0f'),
                    ('cpu_us_per_alert', 'CPU us/alert', '%.1f'), ('disk_written', 'disk MB', 'MB')],
    'many_tasks': [('task_points_per_s', 'task-points/s', '%.0f'), ('alerts', 'alerts', '%d')],
    'window_memory': [('bytes_per_resident_point', 'B/resident pt', '%.0f'),
                      ('peak_bytes_per_resident_point', 'peak B/resident pt', '%.0f')],
    'define': [('define_s', 'define s', '%.2f'), ('define_cpu_s', 'define CPU s', '%.2f'),
               ('kib_per_task', 'KiB RSS/task', '%.1f'), ('idle_cpu_percent', 'idle CPU %', '%.2f'),
               ('list_ms', 'list ms', '%.1f'), ('stop_s', 'stop s', '%.2f'),
               ('restart_ping_s', 'restart to ping s', '%.3f'),
               ('restart_executing_s', 'restart to all executing s', '%.3f'),
               ('restart_cpu_s', 'restart CPU s', '%.2f')],
    'alert_latency': [('p50_ms', 'p50 ms', '%.3f'), ('p99_ms', 'p99 ms', '%.3f'), ('max_ms', 'max ms', '%.3f'),
                      ('ack_p50_ms', 'write ack p50 ms', '%.3f'), ('cpu_s', 'CPU s', '%.2f'),
                      ('sink_connections', 'connections', '%d'), ('sink_max_open', 'open at once', '%d')],
    'alert_latency_loaded': [('p50_ms', 'p50 ms', '%.3f'), ('p99_ms', 'p99 ms', '%.3f'),
                             ('max_ms', 'max ms', '%.3f'), ('ack_p50_ms', 'write ack p50 ms', '%.3f'),
                             ('background_points_per_s', 'background points/s', '%.0f'), ('cpu_s', 'CPU s', '%.2f')],
}
EXTRA['slow_sink'] = [('alerts_wanted', 'alerts due', '%d'), ('alerts', 'delivered', '%d'), ('alerts_lost', 'lost', '%d'),
                      ('lost_percent', 'lost %', '%.1f'), ('sink_connections', 'connections', '%d'),
                      ('sink_max_open', 'open at once', '%d'), ('fds_max', 'server fds', '%d'), ('cpu_s', 'CPU s', '%.2f')]
HIGHER_IS_BETTER = {'points_per_s', 'task_points_per_s', 'alerts_per_s'}
NO_RATIO = {'points', 'alerts', 'alerts_wanted', 'alerts_lost', 'lost_percent', 'other_cpus', 'speed_ms', 'cpus_used', 'idle_cpu_percent', 'background_points_per_s'}


def run_once(opts, spec, name, port):
    workdir = tempfile.mkdtemp(prefix='bench-', dir=opts.tmp)
    r = Run(opts, spec, globals()['wl_' + name], workdir, port)
    quiet = wait_for_quiet(opts.wait_quiet, opts.noise) if opts.wait_quiet else None
    r.res['speed_ms'] = machine_speed()
    started, busy, own = time.monotonic(), machine_cpu(), sum(os.times()[:4])
    try:
        r.workload(r)
    except Failure as e:
        r.problem(str(e))
    except (OSError, http.client.HTTPException, ValueError, KeyError, subprocess.TimeoutExpired) as e:
        r.problem('%s: %s' % (type(e).__name__, e))
    finally:
        if r.srv:
            r.srv.stop()
    # CPU that neither the server nor this harness and its tools used
    span = time.monotonic() - started
    now_busy = machine_cpu()
    r.res['other_cpus'] = max(0.0, (now_busy[0] - busy[0] - (sum(os.times()[:4]) - own)) / span)
    r.res['stolen_cpus'] = (now_busy[1] - busy[1]) / span
    r.res['noisy'] = r.res['other_cpus'] + r.res['stolen_cpus'] > opts.noise
    r.res['span_s'] = span
    r.res['ok'] = not r.res['problems']
    r.res['other_cpu_share_before'] = quiet
    r.res['when'] = datetime.datetime.now().isoformat(timespec='seconds')
    if r.res['ok'] and not opts.keep:
        shutil.rmtree(workdir, ignore_errors=True)
    else:
        r.res['kept'] = workdir
    return r.res


def fmt(how, v):
    if v is None:
        return '-'
    if how == 'MB':
        return '%.1f' % (v / MB)
    s = how % v
    if how in ('%d', '%.0f') and abs(v) >= 10000:
        s = '{:,}'.format(int(round(v)))
    return s


def medians(runs):
    """Over the right runs; noisy ones only count when there is no quiet one."""
    right = [x for x in runs if x['ok']]
    good = [x for x in right if not x['noisy']] or right
    out = {'runs': len(runs), 'ok': len(right), 'used': len(good)}
    for key in sorted({k for x in good for k in x}):
        vals = [x[key] for x in good if isinstance(x.get(key), (int, float)) and not isinstance(x.get(key), bool)]
        if vals:
            out[key] = statistics.median(vals)
            out[key + '_min'], out[key + '_max'] = min(vals), max(vals)
    return out


def table(rows):
    width = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        print('  ' + '  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, width))).rstrip())
        if n == 0:
            print('  ' + '  '.join('-' * w for w in width))


def report(opts, names, specs, all_runs):
    summary = {}
    for wl in names:
        for sp in specs:
            summary[(wl, sp[0])] = medians([x for x in all_runs if x['workload'] == wl and x['server'] == sp[0]])
    print()
    print('Medians of the runs whose results were right')
    rows = [['workload', 'server', 'right', 'used'] + [h for _, h, _ in COMMON]]
    for wl in names:
        for sp in specs:
            m = summary[(wl, sp[0])]
            rows.append([wl, sp[0], '%d/%d' % (m['ok'], m['runs']), '%d' % m['used']] + [fmt(f, m.get(k)) for k, _, f in COMMON])
    table(rows)
    for wl in names:
        if wl not in EXTRA:
            continue
        print('\n%s: %s' % (wl, globals()['wl_' + wl].__doc__.strip()))
        rows = [['server'] + [h for _, h, _ in EXTRA[wl]]]
        for sp in specs:
            m = summary[(wl, sp[0])]
            rows.append([sp[0]] + [fmt(f, m.get(k)) for k, _, f in EXTRA[wl]])
        table(rows)
    ratios = {}
    if len(specs) == 2:
        a, b = specs[0][0], specs[1][0]
        print('\nHow many times better %s is than %s (above 1: %s is better), by medians and by the best run of each'
              % (b, a, b))
        rows = [['workload', 'figure', a, b, 'by medians', 'by best runs']]
        for wl in names:
            for key, head, how in COMMON + EXTRA.get(wl, []):
                x, y = summary[(wl, a)].get(key), summary[(wl, b)].get(key)
                if key in NO_RATIO or key.endswith(('_min', '_max')) or not x or not y:
                    continue
                if key == 'wall_s' and 'points_per_s' in summary[(wl, a)]:
                    continue
                up = key in HIGHER_IS_BETTER
                q = y / x if up else x / y
                bx, by = (summary[(wl, z)][key + ('_max' if up else '_min')] for z in (a, b))
                qb = (by / bx if up else bx / by) if bx and by else None
                ratios['%s.%s' % (wl, key)] = {'median': q, 'best': qb}
                rows.append([wl, head, fmt(how, x), fmt(how, y), '%.2f' % q, fmt('%.2f', qb)])
        table(rows)
    bad = [x for x in all_runs if not x['ok']]
    if bad:
        print('\nRuns that went wrong')
        for x in bad:
            print('  %s / %s: %s (kept: %s)' % (x['workload'], x['server'], '; '.join(x['problems']), x.get('kept')))
    return {'%s/%s' % k: v for k, v in summary.items()}, ratios


def show(opts):
    cells, servers, infos = {}, [], []
    for path in opts.show:
        d = json.loads(read(path))
        infos.append(d['info'])
        fresh = {}
        for x in d['runs']:
            fresh.setdefault((x['workload'], x['server']), []).append(x)
            if x['server'] not in servers:
                servers.append(x['server'])
        cells.update(fresh)
    runs = [x for v in cells.values() for x in v]
    names = [w for w in WORKLOADS if any(k[0] == w for k in cells)]
    specs = [(s, '') for s in servers]
    summary, ratios = report(opts, names, specs, runs)
    if opts.json:
        with open(opts.json, 'w') as f:
            json.dump({'info': infos[-1], 'merged_from': infos, 'summary': summary, 'ratios': ratios, 'runs': runs},
                      f, indent=1, sort_keys=True)
    return 0


def build():
    os.makedirs(BIN, exist_ok=True)
    for name, libs in (('loadgen', ['-lpthread']), ('latprobe', [])):
        src, exe = os.path.join(HERE, name + '.c'), os.path.join(BIN, name)
        if not os.path.exists(exe) or os.path.getmtime(exe) < os.path.getmtime(src):
            subprocess.run([os.environ.get('CC', 'cc'), '-O2', '-Wall', '-o', exe, src] + libs, check=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--server', metavar='CMD',
                    help='server command; {conf} {port} {dir} {log} are filled in, and "-config {conf}" is added '
                         'when none of them is used')
    ap.add_argument('--name', default='A', help='name of the server in the tables')
    ap.add_argument('--vs', metavar='CMD', help='a second server, run alternately with the first')
    ap.add_argument('--vs-name', default='B')
    ap.add_argument('--workloads', default='all', help='comma separated, or all: ' + ' '.join(WORKLOADS))
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--scale', type=float, default=1.0, help='multiplies the size of every workload (0.02: a quick check)')
    ap.add_argument('--conns', type=int, default=4, help='writing connections')
    ap.add_argument('--batch', type=int, default=5000, help='lines per POST')
    ap.add_argument('--json', metavar='FILE', help='write every run and the medians there')
    ap.add_argument('--log-level', default='INFO')
    ap.add_argument('--http-log', action='store_true', help="leave the server's request log on")
    ap.add_argument('--internal-stats', action='store_true', help="leave the server's own stats feed on")
    ap.add_argument('--memory-settle', type=float, default=5.0, help='seconds of rest before window_memory reads RSS')
    ap.add_argument('--timeout', type=float, default=300.0)
    ap.add_argument('--start-timeout', type=float, default=60.0)
    ap.add_argument('--stop-timeout', type=float, default=60.0)
    ap.add_argument('--wait-quiet', type=float, default=60.0,
                    help='before each run wait up to this long for other programs to go quiet (0: do not)')
    ap.add_argument('--noise', type=float, default=0.25,
                    help='a run is noisy when other programs (and a hypervisor) used more CPUs than this during it')
    ap.add_argument('--retries', type=int, default=1, help='how often a noisy run is repeated')
    ap.add_argument('--tmp', default='/tmp')
    ap.add_argument('--show', nargs='+', metavar='FILE',
                    help='run nothing; print the tables of saved --json files (a later file replaces the same '
                         'workload of the same server in an earlier one); with --json also save the merger')
    ap.add_argument('--keep', action='store_true', help='keep the run folders')
    opts = ap.parse_args()

    if opts.show:
        return show(opts)
    if not opts.server:
        ap.error('--server is needed')
    names = WORKLOADS if opts.workloads == 'all' else opts.workloads.split(',')
    for n in names:
        if n not in WORKLOADS:
            ap.error('unknown workload ' + n)
    specs = [(opts.name, opts.server)]
    if opts.vs:
        if opts.vs_name == opts.name:
            ap.error('the two servers need different names')
        specs.append((opts.vs_name, opts.vs))
    build()
    # a terminated harness still stops the server it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

    info = {'date': datetime.datetime.now().isoformat(timespec='seconds'), 'host': platform.platform(),
            'cpus': os.cpu_count(), 'scale': opts.scale, 'conns': opts.conns, 'batch': opts.batch,
            'servers': {n: c for n, c in specs}, 'repeats': opts.repeats,
            'http_log': opts.http_log, 'internal_stats': opts.internal_stats, 'log_level': opts.log_level}
    print('%(date)s  %(host)s  %(cpus)d CPUs  scale %(scale)g' % info)
    runs = []
    turn = 0

    def save(summary=None, ratios=None):
        if opts.json:
            with open(opts.json + '.tmp', 'w') as f:
                json.dump({'info': info, 'summary': summary, 'ratios': ratios, 'runs': runs}, f, indent=1, sort_keys=True)
            os.replace(opts.json + '.tmp', opts.json)

    for name in names:
        for rep in range(opts.repeats):
            order = specs if rep % 2 == 0 else specs[::-1]      # A B, B A, A B ...
            for sp in order:
                for attempt in range(opts.retries + 1):
                    port = PORT_LO + turn % (PORT_HI - PORT_LO + 1)
                    turn += 1
                    x = run_once(opts, sp, name, port)
                    runs.append(x)
                    line = '%-21s %-6s %s' % (name, sp[0], 'WRONG' if not x['ok'] else 'noisy' if x['noisy'] else 'ok   ')
                    for key, head, how in COMMON[1:] + EXTRA.get(name, []):
                        if key in x:
                            line += '  %s %s' % (head, fmt(how, x[key]))
                    print(line, flush=True)
                    for p in x['problems']:
                        print('      ' + p, flush=True)
                    save()
                    if not x['noisy']:
                        break
    summary, ratios = report(opts, names, specs, runs)
    save(summary, ratios)
    return 0 if all(x['ok'] for x in runs) else 1


if __name__ == '__main__':
    sys.exit(main())
