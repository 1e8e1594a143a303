/**
 * Plays a transcript against the recovery machine: lines that begin with `> ` are commands, what follows each is the log
 * that it must bring about, `#` begins a comment. `play` returns the same text with the log as it is. Records are written,
 * signals sent and evidence taken at once and jitter is off, so that a transcript shows decisions and nothing else.
 *
 *   configure ID...          the configuration holds these replicas; ID@HASH is launched differently, ID=elsewhere is watched,
 *                            ID=standby begins as a standby
 *   after MS                 time passes, and what is due happens
 *   started ID               answers the order to start: pid 100 and on
 *   not-started ID [for ever] TEXT   answers it otherwise
 *   found ID [nothing]       answers the search for a process
 *   up ID                    answers probes until it is ready
 *   probe-fails ID TEXT      answers the probe under way
 *   probe-late ID            it was not answered in time, and the port is open
 *   probe-busy ID TEXT       it was not answered in time, and gateways see answers go on
 *   exits ID CODE|SIGNAL [TEXT]   the process ends, and that is what its log says of it
 *   found-fault ID CLASS CONFIDENCE   what the signals of the living engine say; `none 1`: nothing
 *   mended ID [not] TEXT     answers the remedy under way
 *   exits-as ID CODE CLASS    the process ends, and that is what its signals say of it
 *   in-flight ID N, attempt-failed ID GENERATION, drain ID, restart ID, roll POOL, end drain|kill
 */
import { nextDeadlineMs } from '../../src/decide/recovery/deadlines.ts';
import { createFleetState, type FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { IncidentNews, RecoveryEffect } from '../../src/decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import { DEFAULT_RECOVERY_SETTINGS } from '../../src/decide/recovery/recovery-settings.ts';
import type { ReplicaSpec } from '../../src/decide/recovery/replica.ts';
import { step } from '../../src/decide/recovery/step.ts';
import type { Verdict } from '../../src/decide/recovery/verdict.ts';

const TRANSCRIPT_SETTINGS = {
  ...DEFAULT_RECOVERY_SETTINGS,
  backoff: { initialMs: 500, maxMs: 30_000, jitterRatio: 0 },
};

const START_TIMEOUT_MS = 20_000;
const FIRST_PID = 100;

export function play(script: string): string {
  const stage = new Stage();
  const lines: string[] = [];
  for (const line of script.split('\n')) {
    if (line === '' || line.startsWith('#')) lines.push(line);
    if (!line.startsWith('> ')) continue;
    lines.push(line, ...stage.run(line.slice(2).trim()));
  }
  return lines.join('\n');
}

class Stage {
  #state: FleetState = createFleetState(TRANSCRIPT_SETTINGS, 1, 0);
  #log: string[] = [];
  #pid = FIRST_PID;

  run(command: string): string[] {
    this.#log = [];
    const [verb = '', id = '', ...rest] = command.split(' ');
    this.#carryOut(verb, id, rest, command.split(' ').slice(1));
    return this.#log;
  }

  #carryOut(verb: string, id: string, rest: string[], words: string[]): void {
    switch (verb) {
      case 'configure':
        return this.#deliver({ type: 'configured', replicas: words.map(specOf) });
      case 'after':
        return this.#advance(Number(id));
      case 'started':
        return this.#deliver({
          type: 'spawned',
          ...this.#acting(id),
          process: this.#newProcess(),
          url: `http://${id}`,
        });
      case 'not-started': {
        const permanent = rest.slice(0, 2).join(' ') === 'for ever';
        const reason = rest.slice(permanent ? 2 : 0).join(' ');
        return this.#deliver({ type: 'spawnFailed', ...this.#acting(id), permanent, reason });
      }
      case 'found': {
        const process = rest[0] === 'nothing' ? null : this.#newProcess();
        return this.#deliver({ type: 'found', ...this.#acting(id), process, url: `http://${id}` });
      }
      case 'up':
        for (let probe = this.#probing(id); probe !== null; probe = this.#probing(id))
          this.#deliver({ type: 'probed', effect: probe, replica: id, ok: true, detail: '' });
        return;
      case 'probe-fails': {
        const effect = this.#probing(id);
        if (effect === null) throw new Error(`no probe of ${id} is under way`);
        return this.#deliver({ type: 'probed', effect, replica: id, ok: false, detail: rest.join(' ') });
      }
      case 'probe-late':
      case 'probe-busy': {
        const effect = this.#probing(id);
        if (effect === null) throw new Error(`no probe of ${id} is under way`);
        const busy = verb === 'probe-busy';
        const detail = busy ? rest.join(' ') : 'no answer in time';
        return this.#deliver({ type: 'probed', effect, replica: id, ok: busy, detail, busy, late: !busy });
      }
      case 'exits': {
        const generation = this.#state.replicas[id]?.generation ?? 0;
        const code = Number(rest[0]);
        const exit = Number.isNaN(code)
          ? ({ kind: 'signalled', signal: rest[0] ?? '' } as const)
          : ({ kind: 'exited', code } as const);
        return this.#deliver({
          type: 'exited',
          replica: id,
          generation,
          exit,
          lastWords: rest.slice(1).join(' ') || null,
          verdict: null,
        });
      }
      case 'exits-as': {
        const generation = this.#state.replicas[id]?.generation ?? 0;
        const exit = { kind: 'exited', code: Number(rest[0]) } as const;
        const verdict = verdictFor(rest[1] ?? 'unknown', 0.9);
        return this.#deliver({ type: 'exited', replica: id, generation, exit, lastWords: null, verdict });
      }
      case 'found-fault': {
        const generation = this.#state.replicas[id]?.generation ?? 0;
        const verdict = verdictFor(rest[0] ?? 'none', Number(rest[1] ?? 1));
        return this.#deliver({ type: 'diagnosed', replica: id, generation, verdict });
      }
      case 'mended': {
        const ok = rest[0] !== 'not';
        const detail = rest.slice(ok ? 0 : 1).join(' ');
        return this.#deliver({ type: 'mended', ...this.#acting(id), ok, detail });
      }
      case 'in-flight':
        return this.#deliver({ type: 'inFlightReported', replica: id, count: Number(rest[0]) });
      case 'attempt-failed':
        return this.#deliver({ type: 'attemptFailed', replica: id, generation: Number(rest[0]) });
      case 'drain':
        return this.#deliver({ type: 'drainRequested', replica: id });
      case 'restart':
        return this.#deliver({ type: 'restartRequested', replica: id });
      case 'roll':
        return this.#deliver({ type: 'rollingRestartRequested', pool: id, because: 'on request' });
      case 'end':
        return this.#deliver({ type: 'endRequested', how: id === 'kill' ? 'kill' : 'drain' });
      default:
        throw new Error(`unknown command: ${verb}`);
    }
  }

  #advance(ms: number): void {
    const endMs = this.#state.nowMs + ms;
    for (let dueMs = nextDeadlineMs(this.#state); dueMs <= endMs; dueMs = nextDeadlineMs(this.#state))
      this.#deliver({ type: 'ticked', nowMs: dueMs });
    this.#deliver({ type: 'ticked', nowMs: endMs });
  }

  #deliver(event: RecoveryEvent): void {
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      const text = describe(effect);
      if (text !== null) this.#log.push(`${(state.nowMs / 1000).toFixed(2)} ${text}`);
    }
    for (const effect of effects) this.#answerAtOnce(effect);
  }

  #answerAtOnce(order: RecoveryEffect): void {
    if (order.type === 'capture' && order.process !== null)
      this.#deliver({ type: 'captured', effect: order.id, replica: order.replica, folder: null });
    if (order.type === 'persist')
      this.#deliver({ type: 'persisted', effect: order.id, replica: order.replica, ok: true });
    if (order.type === 'signal')
      this.#deliver({ type: 'signalled', effect: order.id, replica: order.replica, gone: false });
  }

  #acting(replica: string): { effect: number; replica: string } {
    const acting = this.#state.replicas[replica]?.acting;
    if (acting === null || acting === undefined) throw new Error(`no order for ${replica} is under way`);
    return { effect: acting.id, replica };
  }

  #probing(replica: string): number | null {
    return this.#state.replicas[replica]?.probing?.id ?? null;
  }

  #newProcess() {
    return { pid: this.#pid++, startTicks: 1 };
  }
}

/** Null: not worth a line. */
function describe(effect: RecoveryEffect): string | null {
  switch (effect.type) {
    case 'announce':
      return `${effect.replica} is ${effect.to}: ${effect.reason}`;
    case 'spawn':
      return `start ${effect.replica}, generation ${effect.generation}`;
    case 'find':
      return `look for ${effect.replica}, generation ${effect.generation}`;
    case 'signal':
      return `SIG${effect.signal} to ${effect.replica}, pid ${effect.process.pid}`;
    case 'probe':
      return `probe ${effect.replica}: ${effect.rung}`;
    case 'tell':
      return `${effect.level === 'page' ? 'PAGE' : 'note'} ${effect.subject}: ${effect.text}`;
    case 'forget':
      return `forget ${effect.replica}`;
    case 'capture':
      return `take evidence of ${effect.replica}, ${effect.process === null ? 'which has ended' : `pid ${effect.process.pid}`}`;
    case 'mend':
      return `try ${effect.remedy} on ${effect.replica}`;
    case 'incident':
      return `incident of ${effect.replica} ${describeNews(effect.news)}`;
    case 'persist':
    case 'publish':
      return null;
  }
}

function describeNews(news: IncidentNews): string {
  switch (news.kind) {
    case 'opened':
      return `opened${news.isolated ? '' : ', it stays in rotation'}: ${news.summary}`;
    case 'diagnosed':
      return `is ${news.diagnosis.class}`;
    case 'remedyStarted':
      return `step ${news.step}, ${news.remedy}: ${news.because}`;
    case 'remedyEnded':
      return `${news.remedy} ${news.helped ? 'helped' : 'did not help'}: ${news.detail}`;
    case 'closed':
      return `${news.outcome}: ${news.text}`;
  }
}

function verdictFor(found: string, confidence: number): Verdict {
  const diagnosis = { class: found, confidence, evidence: [], ruledOut: [] };
  return { class: found as Verdict['class'], confidence, summary: `it is ${found}`, diagnosis };
}

function specOf(text: string): ReplicaSpec {
  const [, id = '', hash = 'a', elsewhere, standby] =
    /^([^@=]+)(?:@(\w+))?(=elsewhere)?(=standby)?$/.exec(text) ?? [];
  const managed = elsewhere === undefined;
  return {
    id,
    pool: id.slice(0, id.lastIndexOf('/')),
    managed,
    launchHash: hash,
    url: managed ? null : `http://${id}`,
    startTimeoutMs: START_TIMEOUT_MS,
    standby: standby !== undefined,
    means: { abort: true, clearCaches: true, saferSteps: 2, spareDevices: 1, window: 8 },
  };
}
