import { describe, expect, it } from 'vitest';
import { deviceEnvironment, optionValue, type SaferStep, saferLaunch } from './safer-launch.ts';

const base = {
  maxBatchSize: 64,
  maxSeqLength: 8192,
  args: ['--gpu-memory-utilization', '0.9', '--enforce-eager', '--seed=7'],
  env: { A: '1', B: '2' },
};
const steps: SaferStep[] = [
  { batchShare: 0.5 },
  { args: ['--gpu-memory-utilization', '0.8'] },
  { maxSeqLength: 4096, env: { B: '3' } },
  { batchShare: 0.5 },
];

describe('a safer launch', () => {
  it('is the launch of the configuration without steps', () => {
    expect(saferLaunch(base, steps, 0)).toEqual(base);
    expect(saferLaunch(base, steps, -1)).toEqual(base);
    expect(saferLaunch(base, [], 3)).toEqual(base);
  });

  it('takes one step upon the other', () => {
    expect(saferLaunch(base, steps, 1)).toEqual({ ...base, maxBatchSize: 32 });
    expect(saferLaunch(base, steps, 2)).toEqual({
      ...base,
      maxBatchSize: 32,
      args: ['--enforce-eager', '--seed=7', '--gpu-memory-utilization', '0.8'],
    });
    expect(saferLaunch(base, steps, 4)).toEqual({
      maxBatchSize: 16,
      maxSeqLength: 4096,
      args: ['--enforce-eager', '--seed=7', '--gpu-memory-utilization', '0.8'],
      env: { A: '1', B: '3' },
    });
  });

  it('stays with the last step when more are asked for', () => {
    expect(saferLaunch(base, steps, 9)).toEqual(saferLaunch(base, steps, 4));
  });

  it('leaves at least one request at a time, and what is not known as it is', () => {
    expect(saferLaunch({ ...base, maxBatchSize: 1 }, steps, 1).maxBatchSize).toBe(1);
    expect(saferLaunch({ ...base, maxBatchSize: undefined }, steps, 1).maxBatchSize).toBeUndefined();
  });

  it('replaces an option in either spelling and with all its values, and nothing else', () => {
    const launch = (args: string[], further: string[]) =>
      saferLaunch({ ...base, args }, [{ args: further }], 1).args;
    expect(launch(['--x=1', '--xy', '2'], ['--x', '3'])).toEqual(['--xy', '2', '--x', '3']);
    expect(launch(['--list', 'a', 'b', '--y'], ['--list=c'])).toEqual(['--y', '--list=c']);
    expect(launch(['--n', '-1', '-v'], ['--n', '-2'])).toEqual(['-v', '--n', '-2']);
  });

  it('changes nothing that it was given', () => {
    const frozen = Object.freeze({
      ...base,
      args: Object.freeze([...base.args]),
      env: Object.freeze({ ...base.env }),
    });
    expect(() => saferLaunch(frozen, steps, 4)).not.toThrow();
  });
});

it('reads the last value of an option', () => {
  expect(optionValue(['--a', '1', '--a=2'], '--a')).toBe('2');
  expect(optionValue(['--a', '-1'], '--a')).toBe('-1');
  expect(optionValue(['--a', '--b'], '--a')).toBeUndefined();
  expect(optionValue(['--ab', '1'], '--a')).toBeUndefined();
});

it('shows a process only the devices that it shall have', () => {
  expect(deviceEnvironment('2,3')).toEqual({ CUDA_VISIBLE_DEVICES: '2,3', HIP_VISIBLE_DEVICES: '2,3' });
});
