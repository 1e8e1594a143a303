import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../contract/errors.ts';
import { parseFaults, parseFaultText } from './fault-script.ts';

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(PlatformError);
    return (error as Error).message;
  }
  throw new Error('expected a refusal');
}

describe('parseFaults', () => {
  it('fills defaults', () => {
    expect(parseFaults({ action: 'exit' }, '--fault')).toEqual([
      { action: 'exit', code: 1, delayMs: 0, when: {} },
    ]);
    expect(parseFaultText('[{"action":"hang"},{"action":"slow","factor":3}]', 'f')).toHaveLength(2);
  });

  it.each([
    [{ action: 'explode' }, '--fault.action: found "explode"; ', 'known: exit, orphan, xid, hang'],
    [{}, '--fault.action: found nothing', 'known: exit'],
    [{ action: 'exit', code: 3 }, '--fault.code: found 3', ''],
    [{ action: 'exit', log: 'no-such-log' }, '--fault.log: found "no-such-log"', ''],
    [{ action: 'slow', factor: 'very' }, '--fault.factor: found "very"', 'expected number'],
    [{ action: 'hang', when: { afterMs: -1 } }, '--fault.when.afterMs: found -1', '>=0'],
    [{ action: 'hang', wenn: {} }, '--fault', '"wenn"'],
    ['hang', '--fault: found "hang"', 'expected object'],
    [
      { action: 'hang-request', when: { atStart: true } },
      '--fault.when: atStart found with "hang-request"',
      '',
    ],
    [{ action: 'exit', when: { atStart: true, atToken: 1 } }, 'atStart found together with atToken', ''],
    [{ action: 'http-error', when: { atToken: 4 } }, 'is answered before there are tokens', 'use afterMs'],
  ])('refuses %j with path, value and what would be right', (fault, start, part) => {
    const message = messageOf(() => parseFaults(fault, '--fault'));
    expect(message).toContain(start);
    expect(message).toContain(part);
  });

  it('names the place in a list, and what is wrong with JSON', () => {
    expect(messageOf(() => parseFaults([{ action: 'hang' }, { action: 'slow' }], 'f.json'))).toContain(
      'f.json[1].factor: found nothing',
    );
    expect(messageOf(() => parseFaultText('{"action":', '--fault'))).toContain('--fault: not JSON');
  });
});
