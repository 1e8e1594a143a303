import { describe, expect, it } from 'vitest';
import { parseMeasuredSteps, readMeasuredSteps } from './measured-steps.ts';

const STEP = { prefillTokens: 10, decodeBatch: 2, decodeContext: 300, stepMs: 7.5 };

describe('parseMeasuredSteps', () => {
  it('reads CSV in any order of columns, with comments and further columns', () => {
    const text = '# how it was measured\nstep_ms,engine,T_prefill,batch,sum_ctx\n7.5,vllm,10,2,300\n\n';
    expect(parseMeasuredSteps(text, 'a.csv')).toEqual([STEP]);
  });

  it('reads a JSON array, and one object per line', () => {
    const entry = '{"T_prefill": 10, "batch": 2, "sum_ctx": 300, "step_ms": 7.5}';
    expect(parseMeasuredSteps(`[${entry}]`, 'a.json')).toEqual([STEP]);
    expect(parseMeasuredSteps(`${entry}\n${entry}\n`, 'a.jsonl')).toEqual([STEP, STEP]);
  });

  it('leaves out steps without work', () => {
    const text = 'T_prefill,batch,sum_ctx,step_ms\n0,0,0,1\n10,2,300,7.5\n';
    expect(parseMeasuredSteps(text, 'a.csv')).toEqual([STEP]);
  });

  it.each([
    [
      'prefill,batch\n1,2',
      'a, first line: found "prefill,batch"; would be right: a header with T_prefill,batch',
    ],
    [
      'T_prefill,batch,sum_ctx,step_ms\n1,2,x,4',
      'a, line 2, sum_ctx: found "x"; would be right: a number from 0',
    ],
    ['T_prefill,batch,sum_ctx,step_ms\n1,2,3', 'a, line 2, step_ms: found nothing'],
    [
      'T_prefill,batch,sum_ctx,step_ms\n1,2,3,0',
      'a, line 2, step_ms: found 0; would be right: milliseconds above 0',
    ],
    ['T_prefill,batch,sum_ctx,step_ms\n1,2,-3,1', 'a, line 2, sum_ctx: found "-3"'],
    ['[{"T_prefill": 1}]', 'a, entry 1, step_ms: found nothing'],
    ['[1]', 'a, entry 1: found 1; would be right: an object'],
    ['[{]', 'would be right: JSON'],
  ])('says what is wrong and where: %j', (text, message) => {
    expect(() => parseMeasuredSteps(text, 'a')).toThrow(message);
  });
});

describe('readMeasuredSteps', () => {
  it('names a file that is not there', () => {
    expect(() => readMeasuredSteps('/nowhere/steps.csv', 'steps.csv')).toThrow('steps.csv can not be read');
  });
});
