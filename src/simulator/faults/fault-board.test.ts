import { beforeEach, describe, expect, it } from 'vitest';
import { FaultBoard, type RequestTraits } from './fault-board.ts';
import { type Fault, parseFaults } from './fault-script.ts';

let nowMs: number;
let fired: string[];
let board: FaultBoard;

beforeEach(() => {
  nowMs = 1000;
  fired = [];
  board = new FaultBoard({
    nowMs: () => nowMs,
    onFire: (fault) => fired.push(fault.action),
    onChange: () => {},
  });
});

const arm = (fault: object) => board.arm(parseFaults(fault, 'test')[0] as Fault);
const request = (ordinal: number, text = 'hello', promptTokens = 10): RequestTraits => ({
  ordinal,
  promptTokens,
  promptText: () => text,
});

describe('FaultBoard', () => {
  it('fires faults of the start in their phase and keeps the others until the process is ready', () => {
    arm({ action: 'exit', when: { atStart: 'load' } });
    arm({ action: 'xid', xid: 79 });
    board.enterPhase('fetch');
    expect(fired).toEqual([]);
    board.enterPhase('load');
    expect(fired).toEqual(['exit']);
    board.becomeReady();
    expect(fired).toEqual(['exit', 'xid']);
  });

  it('counts time from ready, and says when it wants to be asked', () => {
    arm({ action: 'exit', when: { afterMs: 500 } });
    nowMs = 5000;
    expect(board.nextDueMs()).toBeUndefined();
    board.becomeReady();
    expect(board.nextDueMs()).toBe(5500);
    board.tick();
    expect(fired).toEqual([]);
    nowMs = 5500;
    board.tick();
    board.tick();
    expect(fired).toEqual(['exit']);
    expect(board.nextDueMs()).toBeUndefined();
  });

  it('counts tokens of the process from the moment of arming', () => {
    board.becomeReady();
    board.countTokens(100);
    arm({ action: 'exit', when: { atToken: 10 } });
    board.countTokens(9);
    expect(fired).toEqual([]);
    board.countTokens(1);
    expect(fired).toEqual(['exit']);
  });

  it('keeps lasting faults active for their duration', () => {
    board.becomeReady();
    arm({ action: 'slow', factor: 4, durationMs: 200 });
    expect(board.active('slow')?.factor).toBe(4);
    expect(board.nextDueMs()).toBe(1200);
    expect(board.list()).toMatchObject([{ id: 'fault-1', state: 'active', fired: 1 }]);
    nowMs = 1200;
    expect(board.active('slow')).toBeUndefined();
    expect(board.list()[0]?.state).toBe('spent');
  });

  it('ends a lasting fault when it is disarmed', () => {
    board.becomeReady();
    arm({ id: 'h', action: 'hang' });
    expect(board.active('hang')).toBeDefined();
    expect(board.disarm('h')).toBe(true);
    expect(board.disarm('h')).toBe(false);
    expect(board.active('hang')).toBeUndefined();
  });

  it('matches requests by number, prompt text and prompt length, all of them at once', () => {
    board.becomeReady();
    const armed = arm({
      action: 'hang-request',
      when: { atRequest: 2, promptContains: 'poison', promptTokensOver: 5 },
    });
    expect(board.matching(request(1, 'poison'))).toEqual([]);
    expect(board.matching(request(2, 'fine'))).toEqual([]);
    expect(board.matching(request(2, 'poison', 5))).toEqual([]);
    expect(board.matching(request(2, 'a poison b'))).toEqual([armed]);
  });

  it('fires once for requests in general, and always for prompts', () => {
    board.becomeReady();
    const once = arm({ action: 'stall-stream' });
    const always = arm({ action: 'exit', when: { promptContains: 'poison' } });
    expect(board.matching(request(1, 'poison'))).toEqual([once, always]);
    expect(once && board.fireForRequest(once)).toBe(true);
    expect(always && board.fireForRequest(always)).toBe(true);
    expect(once && board.fireForRequest(once)).toBe(false);
    expect(board.matching(request(2, 'poison'))).toEqual([always]);
    expect(fired).toEqual(['exit']);
  });

  it('answers so many requests with an error, and leaves other paths alone', () => {
    board.becomeReady();
    arm({ action: 'http-error', status: 429, retryAfterS: 3, times: 2 });
    const take = (path: string) => board.takeHttpFault(path, { ordinal: 1, body: '{}' });
    expect(take('/health')).toBeUndefined();
    expect(take('/v1/completions')).toMatchObject({ status: 429, retryAfterS: 3 });
    expect(board.hasHttpFaults).toBe(true);
    expect(take('/v1/completions')).toBeDefined();
    expect(take('/v1/completions')).toBeUndefined();
    expect(board.hasHttpFaults).toBe(false);
  });
});
