import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.ts';
import type { PretendProcess } from './pretend-process.ts';

function processOf(change: Partial<PretendProcess> = {}): PretendProcess {
  return {
    identity: { pid: 1, startTicks: 1 },
    replica: 'p/0',
    generation: 1,
    launchHash: 'a',
    alive: true,
    startedMs: 0,
    readyAfterMs: 100,
    diesAfterMs: Number.POSITIVE_INFINITY,
    exit: { kind: 'exited', code: 1 },
    ignoresTerm: false,
    hidesTag: false,
    killTakesMs: 1,
    hangsFromMs: Number.POSITIVE_INFINITY,
    prefills: [],
    stall: { fromMs: 0, toMs: 0 },
    ...change,
  };
}

describe('Ledger', () => {
  it('counts as serving what is in rotation and can serve, from the first time on', () => {
    const ledger = new Ledger();
    const process = processOf();
    const at = (nowMs: number, isInRotation: boolean | null) =>
      ledger.account('p/0', { nowMs, isInRotation, process });
    at(0, false);
    at(150, true);
    at(1150, null);
    expect(ledger).toMatchObject({ replicaMs: 1000, servingMs: 1000, deceivedMs: 0 });
    at(1150, false);
    at(1650, null);
    expect(ledger).toMatchObject({ replicaMs: 1500, servingMs: 1000 });
  });

  it('measures a hang from when it began until it is out of rotation, and until the next one serves', () => {
    const ledger = new Ledger();
    const hung = processOf({ hangsFromMs: 1000 });
    const account = (nowMs: number, isInRotation: boolean, process: PretendProcess) =>
      ledger.account('p/0', { nowMs, isInRotation, process });
    account(200, true, hung);
    account(3000, true, hung);
    expect(ledger).toMatchObject({ servingMs: 800, deceivedMs: 2000 });
    account(6000, false, hung);
    hung.alive = false;
    const next = processOf({ generation: 2, startedMs: 7000 });
    account(7100, false, next);
    account(7500, true, next);
    expect(ledger.detectedMs).toEqual([5000]);
    expect(ledger.outagesMs).toEqual([6500]);
  });

  it('takes a stall out of the time in which a replica serves', () => {
    const ledger = new Ledger();
    const process = processOf({ stall: { fromMs: 1000, toMs: 1500 } });
    ledger.account('p/0', { nowMs: 500, isInRotation: true, process });
    ledger.account('p/0', { nowMs: 2000, isInRotation: true, process });
    expect(ledger).toMatchObject({ servingMs: 1000, deceivedMs: 500 });
  });

  it('calls the end of a process that was well a false restart, once, and that of a hung one none', () => {
    const ledger = new Ledger();
    const well = processOf();
    ledger.onSignal(well, 500);
    ledger.onSignal(well, 600);
    ledger.onSignal(processOf({ hangsFromMs: 400 }), 500);
    ledger.onSignal(processOf(), 50);
    expect(ledger.falseRestarts).toBe(1);
  });
});
