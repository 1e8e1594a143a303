/**
 * Reads the heap of each thread of a running Node process, right after a garbage collection that it forces, without any help
 * of that process: SIGUSR1 opens its inspector, through which a few lines are put into each thread that from then on write
 * their figures to a file; the inspector is closed again.
 */
import { existsSync, readFileSync } from 'node:fs';

/** Where Node's inspector listens after SIGUSR1; only one process at a time. */
const INSPECTOR = 'http://127.0.0.1:9229/json/list';
const OPEN_MS_MAX = 20_000;
const POLL_MS = 50;

export interface HeapSample {
  /** Unix ms. */
  atMs: number;
  pid: number;
  thread: number;
  /** Used after a collection: heap, and what buffers hold outside of it. */
  heapBytes: number;
  externalBytes: number;
  /** Timers, sockets and the like that keep the loop alive, by kind. */
  resources: Record<string, number>;
}

export interface ProbeOptions {
  pid: number;
  /** Gets a line of JSON for each sample. */
  file: string;
  intervalMs: number;
  /** Puts in so much that is never let go, in the first thread: to see whether the soak notices. */
  leakMbPerMinute?: number;
}

export async function installHeapProbe(options: ProbeOptions): Promise<void> {
  const url = await openInspector(options.pid);
  const inspector = await connect(url);
  try {
    const threads: string[] = [];
    inspector.on('NodeWorker.attachedToWorker', ({ sessionId }) => threads.push(String(sessionId)));
    await inspector.call('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await inspector.call('Runtime.evaluate', { expression: probeText(options) });
    for (const [index, sessionId] of threads.entries()) {
      const leakMbPerMinute = index === 0 ? (options.leakMbPerMinute ?? 0) : 0;
      const expression = probeText({ ...options, leakMbPerMinute });
      const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
      await inspector.call('NodeWorker.sendMessageToWorker', { sessionId, message });
    }
    const told = () => new Set(readHeapSamples(options.file, options.pid).map(({ thread }) => thread));
    await until(() => told().size > threads.length, 'a sample of each thread');
    await inspector.call('NodeWorker.disable');
    const close = `setTimeout(() => process.getBuiltinModule('node:inspector').close(), 100)`;
    await inspector.call('Runtime.evaluate', { expression: close });
  } finally {
    inspector.close();
  }
}

/** Of one process, oldest first. */
export function readHeapSamples(file: string, pid: number): HeapSample[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HeapSample)
    .filter((sample) => sample.pid === pid);
}

/** Runs in the thread that is measured, which has nothing of ours but this text. */
function probeText({ file, intervalMs, leakMbPerMinute = 0 }: Omit<ProbeOptions, 'pid'>): string {
  const probe = `(() => {
    const [fs, v8, vm, threads] = ['fs', 'v8', 'vm', 'worker_threads'].map((name) => process.getBuiltinModule('node:' + name));
    v8.setFlagsFromString('--expose-gc');
    const collect = vm.runInNewContext('gc');
    const leaked = [];
    const sample = () => {
      for (let mb = ${leakMbPerMinute} * ${intervalMs} / 60000; mb > 0; mb -= 0.1) leaked.push(Array.from({ length: 6250 * Math.min(1, mb * 10) }, Math.random));
      collect();
      const resources = {};
      for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
      const { used_heap_size: heapBytes, external_memory: externalBytes } = v8.getHeapStatistics();
      fs.appendFileSync(${JSON.stringify(file)}, JSON.stringify({ atMs: Date.now(), pid: process.pid, thread: threads.threadId, heapBytes, externalBytes, resources }) + '\\n');
    };
    sample();
    setInterval(sample, ${intervalMs}).unref();
  })()`;
  return probe;
}

/** The inspector of this process, and of no other that was faster to take the port. */
async function openInspector(pid: number): Promise<string> {
  let url = '';
  await until(async () => {
    process.kill(pid, 'SIGUSR1');
    // Another's may be closing at this moment.
    const found = await findInspector().catch(() => null);
    if (found?.pid !== pid) return false;
    url = found.url;
    return true;
  }, `the inspector of process ${pid} at ${INSPECTOR}`);
  return url;
}

async function findInspector(): Promise<{ url: string; pid: number }> {
  const [target] = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[];
  const url = target?.webSocketDebuggerUrl ?? '';
  const inspector = await connect(url);
  const { result } = await inspector.call('Runtime.evaluate', { expression: 'process.pid' });
  inspector.close();
  return { url, pid: (result as { value: number }).value };
}

async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const endMs = performance.now() + OPEN_MS_MAX;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${OPEN_MS_MAX} ms: ${what}`);
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

interface Inspector {
  call(method: string, params?: Record<string, unknown>): Promise<Record<string, unknown>>;
  on(method: string, listener: (params: Record<string, unknown>) => void): void;
  close(): void;
}

/** The Chrome DevTools protocol, as much as is needed. */
async function connect(url: string): Promise<Inspector> {
  const socket = new WebSocket(url);
  await new Promise((opened, failed) => {
    socket.addEventListener('open', opened, { once: true });
    socket.addEventListener('error', () => failed(new Error(`${url} does not answer`)), { once: true });
  });
  const answers = new Map<number, (result: Record<string, unknown>) => void>();
  const listeners = new Map<string, (params: Record<string, unknown>) => void>();
  let calls = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, method, params, result = {} } = JSON.parse(String(data));
    if (id === undefined) listeners.get(method)?.(params);
    else answers.get(id)?.(result);
  });
  return {
    call: (method, params = {}) =>
      new Promise((resolve, reject) => {
        const id = ++calls;
        answers.set(id, resolve);
        socket.addEventListener('close', () => reject(new Error(`${url} closed`)), { once: true });
        socket.send(JSON.stringify({ id, method, params }));
      }),
    on: (method, listener) => listeners.set(method, listener),
    close: () => socket.close(),
  };
}
