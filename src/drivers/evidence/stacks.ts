/**
 * Where the threads of an engine are. Of Python processes py-spy says it, where it is installed; of every thread /proc says whether
 * it runs or waits, in which call of the kernel, and, to those who may know, the stack there. No process is stopped for it.
 */
import { readdir } from 'node:fs/promises';
import type { Redactor } from '../../base/redaction.ts';
import type { PartText } from './part-text.ts';
import { type ProcessEntry, readProc } from './process-tree.ts';
import { runProgram } from './run-program.ts';

const THREADS_MAX = 512;
const PYTHON_PROCESSES_MAX = 16;
const FILES = ['stat', 'status', 'wchan', 'stack', 'syscall'] as const;
/** Of `status` only what says how it fares. */
const STATUS_LINES =
  /^(Name|State|Tgid|voluntary_ctxt_switches|nonvoluntary_ctxt_switches|SigPnd|ShdPnd|SigBlk):.*$/gm;

export interface StackParts {
  text: PartText;
  redactor: Redactor;
  /** Where programs are looked for. */
  path: string;
  signal: AbortSignal;
}

export async function takeStacks(tree: readonly ProcessEntry[], parts: StackParts): Promise<void> {
  await Promise.all([pythonStacks(tree, parts), kernelStacks(tree, parts)]);
}

async function pythonStacks(
  tree: readonly ProcessEntry[],
  { text, redactor, path, signal }: StackParts,
): Promise<void> {
  const isPython = await Promise.all(
    tree.map(async ({ pid }) => /python|VLLM::|sglang::|ray::/i.test(await readProc(pid, 'cmdline'))),
  );
  const found = tree.filter((_, index) => isPython[index]).slice(0, PYTHON_PROCESSES_MAX);
  await Promise.all(
    found.map(async ({ pid }) => {
      const result = await runProgram('py-spy', ['dump', '--nonblocking', '--pid', String(pid)], {
        path,
        signal,
      });
      // At once: what comes in time is kept, whatever becomes of the others.
      text.add(redactor.text(`=== py-spy dump of ${pid}: ${result.problem ?? 'taken'}\n${result.output}\n`));
    }),
  );
}

async function kernelStacks(
  tree: readonly ProcessEntry[],
  { text, redactor, signal }: StackParts,
): Promise<void> {
  let threads = 0;
  for (const { pid } of tree) {
    const ids = await readdir(`/proc/${pid}/task`).catch(() => [] as string[]);
    for (const id of ids) {
      if (signal.aborted) return;
      if (++threads > THREADS_MAX) {
        text.add(`=== further threads are left out: ${THREADS_MAX} at most\n`);
        return;
      }
      const [stat, status, wchan, stack, syscall] = await Promise.all(
        FILES.map((file) => readProc(pid, `task/${id}/${file}`)),
      );
      const lines = [
        `=== process ${pid}, thread ${id}`,
        `stat: ${stat?.trim()}`,
        ...(status?.match(STATUS_LINES) ?? []),
        `wchan: ${wchan?.trim() || '-'}`,
        `syscall: ${syscall?.trim() || '(may not be read)'}`,
        `stack:${stack ? `\n${stack.trimEnd()}` : ' (may not be read)'}`,
      ];
      text.add(redactor.text(`${lines.join('\n')}\n`));
    }
  }
}
