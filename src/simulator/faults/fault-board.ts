/**
 * Which faults are armed, which act, and which are spent. Engine, HTTP front and process ask it; it knows no timers: whoever
 * owns it calls `tick` at `nextDueMs`. What fires for the whole process goes to `onFire`; what fires for one request is
 * returned to whoever asked.
 */
import {
  concernsRequest,
  type Fault,
  type FaultOf,
  START_PHASES,
  type StartPhase,
  scopeOf,
} from './fault-script.ts';

export interface ArmedFault {
  readonly id: string;
  readonly fault: Fault;
  readonly armedAtMs: number;
  /** Tokens that the process had generated when it was armed. */
  readonly tokensBefore: number;
  firesLeft: number;
  fired: number;
  /** End of a lasting fault that acts; 0 when it does not. */
  activeUntilMs: number;
}

export interface FaultView {
  id: string;
  state: 'armed' | 'active' | 'spent';
  fired: number;
  fault: Fault;
}

/** A generation request as triggers see it. */
export interface RequestTraits {
  /** 1 for the first one of the process. */
  ordinal: number;
  promptTokens: number;
  promptText(): string;
}

export interface FaultBoardOptions {
  nowMs(): number;
  /** A fault of the whole process fires; lasting ones act from then on. */
  onFire(fault: Fault): void;
  /** Something was armed, disarmed or ended: look at `nextDueMs` again. */
  onChange(): void;
}

/** Faults kept at once, the spent ones included. */
const FAULTS_MAX = 1000;

export class FaultBoard {
  readonly #options: FaultBoardOptions;
  #armed: ArmedFault[] = [];
  #nextId = 1;
  #tokensTotal = 0;
  /** False while the process starts: faults without `atStart` wait. */
  #ready = false;

  constructor(options: FaultBoardOptions) {
    this.#options = options;
  }

  /** Arms a fault; undefined when the board is full. */
  arm(fault: Fault): ArmedFault | undefined {
    if (this.#armed.length >= FAULTS_MAX) return undefined;
    const onPrompt = fault.when.promptContains !== undefined || fault.when.promptTokensOver !== undefined;
    const armed: ArmedFault = {
      id: fault.id ?? `fault-${this.#nextId++}`,
      fault,
      armedAtMs: this.#options.nowMs(),
      tokensBefore: this.#tokensTotal,
      firesLeft: fault.times ?? (onPrompt ? Number.POSITIVE_INFINITY : 1),
      fired: 0,
      activeUntilMs: 0,
    };
    this.#armed.push(armed);
    this.tick();
    return armed;
  }

  /** False when there is none of this id. */
  disarm(id: string): boolean {
    const before = this.#armed.length;
    this.#armed = this.#armed.filter((armed) => armed.id !== id);
    this.#options.onChange();
    return this.#armed.length < before;
  }

  clear(): void {
    this.#armed = [];
    this.#options.onChange();
  }

  list(): FaultView[] {
    const nowMs = this.#options.nowMs();
    return this.#armed.map(({ id, fault, fired, firesLeft, activeUntilMs }) => ({
      id,
      state: activeUntilMs > nowMs ? 'active' : firesLeft > 0 ? 'armed' : 'spent',
      fired,
      fault,
    }));
  }

  /** The process enters a phase of its start. */
  enterPhase(phase: StartPhase): void {
    for (const armed of [...this.#armed]) {
      const { atStart } = armed.fault.when;
      const wanted = atStart === true ? START_PHASES[0] : atStart;
      if (wanted === phase && armed.firesLeft > 0) this.#fire(armed);
    }
  }

  /** The process is ready: faults from the command line count from here. */
  becomeReady(): void {
    this.#ready = true;
    const nowMs = this.#options.nowMs();
    this.#armed = this.#armed.map((armed) => ({ ...armed, armedAtMs: nowMs }));
    this.tick();
  }

  countTokens(count: number): void {
    this.#tokensTotal += count;
    if (this.#armed.length > 0) this.tick();
  }

  /** Fires what is due for the whole process, by time or by tokens. */
  tick(): void {
    if (this.#ready) {
      for (const armed of [...this.#armed]) {
        if (this.#dueForProcess(armed)) this.#fire(armed);
      }
    }
    this.#options.onChange();
  }

  #dueForProcess(armed: ArmedFault): boolean {
    const { fault, firesLeft } = armed;
    const scope = scopeOf(fault);
    if (firesLeft <= 0 || fault.when.atStart !== undefined) return false;
    if (scope === 'request' || scope === 'http' || concernsRequest(fault)) return false;
    if (!this.#timeHasCome(armed)) return false;
    return this.#tokensTotal - armed.tokensBefore >= (fault.when.atToken ?? 0);
  }

  #timeHasCome(armed: ArmedFault): boolean {
    return this.#options.nowMs() - armed.armedAtMs >= (armed.fault.when.afterMs ?? 0);
  }

  /** Faults whose conditions this request meets, but for `atToken`, which the engine watches. */
  matching(request: RequestTraits): ArmedFault[] {
    if (this.#armed.length === 0) return [];
    return this.#armed.filter(
      (armed) =>
        armed.firesLeft > 0 &&
        scopeOf(armed.fault) !== 'http' &&
        concernsRequest(armed.fault) &&
        this.#meets(armed, request),
    );
  }

  #meets(armed: ArmedFault, request: RequestTraits): boolean {
    const { atRequest, promptContains, promptTokensOver } = armed.fault.when;
    return (
      this.#timeHasCome(armed) &&
      (atRequest === undefined || atRequest === request.ordinal) &&
      (promptTokensOver === undefined || request.promptTokens > promptTokensOver) &&
      (promptContains === undefined || request.promptText().includes(promptContains))
    );
  }

  /** Fires a fault that `matching` gave; false when it was spent or disarmed meanwhile. */
  fireForRequest(armed: ArmedFault): boolean {
    if (armed.firesLeft <= 0 || !this.#armed.includes(armed)) return false;
    this.#fire(armed);
    return true;
  }

  /** The answer that a request gets in place of the engine's, if any. `body` is undefined for requests without one. */
  takeHttpFault(
    path: string,
    request: { ordinal: number; body: string | undefined },
  ): FaultOf<'http-error' | 'empty-answer'> | undefined {
    for (const armed of this.#armed) {
      const { fault } = armed;
      if (fault.action !== 'http-error' && fault.action !== 'empty-answer') continue;
      if (fault.action === 'http-error' ? !path.startsWith(fault.path) : request.body === undefined) continue;
      const promptText = () => request.body ?? '';
      if (armed.firesLeft <= 0) continue;
      if (!this.#meets(armed, { ordinal: request.ordinal, promptTokens: 0, promptText })) continue;
      this.#fire(armed);
      return fault;
    }
    return undefined;
  }

  get hasHttpFaults(): boolean {
    return this.#armed.some(({ fault, firesLeft }) => scopeOf(fault) === 'http' && firesLeft > 0);
  }

  /** The lasting fault of this kind that acts; the latest armed wins. */
  active<Action extends Fault['action']>(action: Action): FaultOf<Action> | undefined {
    for (let i = this.#armed.length - 1; i >= 0; i--) {
      const armed = this.#armed[i] as ArmedFault;
      if (armed.fault.action === action && armed.activeUntilMs > this.#options.nowMs()) {
        return armed.fault as FaultOf<Action>;
      }
    }
    return undefined;
  }

  /** When time next changes something; undefined: not by time. */
  nextDueMs(): number | undefined {
    const nowMs = this.#options.nowMs();
    const moments = this.#armed.flatMap((armed) => {
      const start = armed.armedAtMs + (armed.fault.when.afterMs ?? 0);
      const timed = this.#ready && armed.firesLeft > 0 && armed.fault.when.afterMs !== undefined;
      return [
        ...(timed ? [start] : []),
        ...(Number.isFinite(armed.activeUntilMs) ? [armed.activeUntilMs] : []),
      ];
    });
    const future = moments.filter((moment) => moment > nowMs);
    return future.length === 0 ? undefined : Math.min(...future);
  }

  #fire(armed: ArmedFault): void {
    const { fault } = armed;
    armed.firesLeft--;
    armed.fired++;
    if (scopeOf(fault) === 'lasting') {
      const durationMs = 'durationMs' in fault ? fault.durationMs : undefined;
      armed.activeUntilMs =
        durationMs === undefined ? Number.POSITIVE_INFINITY : this.#options.nowMs() + durationMs;
    }
    if (scopeOf(fault) === 'once' || scopeOf(fault) === 'lasting') this.#options.onFire(fault);
  }
}
