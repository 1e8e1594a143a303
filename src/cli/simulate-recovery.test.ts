import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import type { CommandContext } from './command-context.ts';
import { simulate } from './simulate.ts';

async function run(...options: string[]): Promise<string> {
  const printed: string[] = [];
  const print = (text: string) => void printed.push(text);
  const terminal = {
    ...{ print, write: print, tell: print, complain: print },
    ...{ colors: picocolors.createColors(false), interactive: false, columns: 90, rows: null },
  };
  const context: CommandContext = {
    environment: { variables: {}, homeDir: '/', workDir: '/' },
    terminal,
    exit: (code) => print(`exit ${code}`),
  };
  await simulate(['--recovery', ...options], context);
  return printed.join('\n');
}

const SHORT = ['--seeds', '2', '--hours', '0.5', '--start-s', '5', '--crash-every', '0.1'];

describe('autoglm simulate --recovery', () => {
  it('prints availability, restarts and times, and the command that replays the worst seed', async () => {
    const out = await run(...SHORT);
    expect(out).toMatch(/availability +\d+\.\d+ % of a replica/);
    expect(out).toMatch(/restarts +\d+, of which false 0/);
    expect(out).toMatch(/until it served +p50 \d/);
    const replay = /`autoglm simulate --recovery (.*)`/.exec(out)![1]!.split(' ');
    const worst = /worst seed +(\d+): availability ([\d.]+ %)/.exec(out)!;
    const again = await run(...replay);
    expect(again).toContain(`worst seed         ${worst[1]}: availability ${worst[2]}`);
    expect(again).toContain('generation 1 starts');
    expect(again).not.toMatch(/^exit \d/m);
  });

  it('prints JSON with each seed', async () => {
    const { seeds, worst } = JSON.parse(await run(...SHORT, '--json'));
    expect(seeds).toHaveLength(2);
    expect(seeds).toContainEqual(worst);
  });

  it('lists its options', async () => {
    expect(await run('--help')).toContain('--crash-every');
  });
});
