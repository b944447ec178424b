#!/usr/bin/env python3
"""What a daemon costs that has nothing to do: time to start, memory, processor. Release build only: sanitizers cost
several times as much.

usage: test_idle.py DEBUG_BUILD [RELEASE_BUILD]
"""
import os
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Member  # noqa: E402

BUILD = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 and sys.argv[2] else None
MIB = 1 << 20
START_S = 0.050
ANONYMOUS_BYTES = 8 * MIB
RESIDENT_BYTES = 24 * MIB
IDLE_SHARE = 0.01


def processor_s(pid):
    """On the processor, all threads: waiting for one, on a busy machine, does not count."""
    total = 0
    for thread in os.listdir(f'/proc/{pid}/task'):
        total += int(pathlib.Path(f'/proc/{pid}/task/{thread}/schedstat').read_text().split()[0])
    return total / 1e9


def memory(pid):
    fields = {}
    for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
        name, _, value = line.partition(':')
        if name in ('VmRSS', 'RssAnon'):
            fields[name] = int(value.split()[0]) * 1024
    return fields['RssAnon'], fields['VmRSS']


@unittest.skipIf(BUILD is None, 'needs a release build')
class Idle(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='kapacitor-e2e-')
        self.addCleanup(self.folder.cleanup)
        self.member = Member(BUILD, self.folder.name, 'idle')
        self.addCleanup(self.member.stop)

    def test_start(self):
        """The best of five: what the machine does besides is not ours."""
        took = []
        for _ in range(5):
            self.member.start()
            took.append(processor_s(self.member.process.pid))
            self.member.stop()
        print('processor time until the first answer: %.0f ms' % (min(took) * 1e3))
        self.assertLess(min(took), START_S)

    def test_memory_and_processor(self):
        self.member.start()
        pid = self.member.process.pid
        time.sleep(1)
        before, began = processor_s(pid), time.monotonic()
        time.sleep(4)
        share = (processor_s(pid) - before) / (time.monotonic() - began)
        anonymous, resident = memory(pid)
        print('anonymous %.1f MiB, resident %.1f MiB, %.2f %% of a processor' %
              (anonymous / MIB, resident / MIB, share * 100))
        self.assertLess(anonymous, ANONYMOUS_BYTES)
        self.assertLess(resident, RESIDENT_BYTES)
        self.assertLess(share, IDLE_SHARE)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
