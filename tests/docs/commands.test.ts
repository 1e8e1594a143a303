/**
 * What the documentation tells people to type works. Goal: no example rots. Method: every code block in a language that can be
 * checked carries a marker in a comment above it, and this file does what the marker says:
 *
 * - `test: run [expect="regex"]`: run against a live system; the output must match
 * - `test: parse`: syntax is checked, and commands of autoglm must exist with these options
 * - `test: config [env="NAME=value NAME=value"]`: a whole configuration file; it must be valid
 * - `test: recovery`: a whole recovery policy (`auto-recovery.yaml`); it must be valid
 * - `test: litellm`: a LiteLLM file; it must be imported with nothing lost (what it becomes is tested by the importer)
 * - `test: unit`: a systemd unit; its command must be one of ours, with options that exist
 * - `test: start` and `test-command`: the two commands of the README; their scripts must exist (CI runs the second one)
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importLiteLlm } from '../../src/assembly/config/litellm/import-litellm.ts';
import { parseConfig } from '../../src/assembly/config/load-config.ts';
import { parseRecovery } from '../../src/assembly/config/load-recovery.ts';
import { hoursOptions } from '../../src/assembly/recovery-simulation/hours-options.ts';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { createProgram } from '../../src/cli/program.ts';
import { simulatorOptions } from '../../src/simulator/options.ts';
import { collect, Installation, ROOT } from '../support/serve-harness.ts';

interface Block {
  file: string;
  line: number;
  language: string;
  text: string;
  kind: string | undefined;
  attributes: Record<string, string>;
}

const CHECKED_LANGUAGES = [
  'ini',
  'sh',
  'bash',
  'shell',
  'console',
  'js',
  'javascript',
  'ts',
  'python',
  'yaml',
];

function pages(): string[] {
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'));
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name));
  return [...top, ...docs];
}

function blocksOf(file: string): Block[] {
  const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index++) {
    const language = /^```(\w*)/.exec(lines[index]!)?.[1];
    if (language === undefined) continue;
    const marker = /^<!-- (?:test: (\w+)|(test-command))(.*)-->$/.exec(lines[index - 1] ?? '');
    const end = lines.indexOf('```', index + 1);
    const attributes = Object.fromEntries(
      [...(marker?.[3] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    );
    const text = lines.slice(index + 1, end).join('\n');
    blocks.push({ file, line: index + 1, language, text, kind: marker?.[1] ?? marker?.[2], attributes });
    index = end;
  }
  return blocks;
}

const blocks = pages().flatMap(blocksOf);
const ofKind = (...kinds: string[]) =>
  blocks.filter(({ kind }) => kind !== undefined && kinds.includes(kind));
const place = ({ file, line }: Block) => `${relative(ROOT, join(ROOT, file))}:${line}`;
const named = (list: Block[]) => list.map((block) => [place(block), block] as const);

/** Each command of autoglm in a shell block: the words after it, up to the end of the simple command. */
function autoglmCommands(text: string): string[][] {
  return [...text.matchAll(/\bautoglm ([^|;&)\n]+)/g)].map(([, rest]) =>
    (rest!.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', '')),
  );
}

function checkCommand(words: string[]): void {
  const program = createProgram({} as CommandContext);
  let command = program.commands.find((known) => known.name() === words[0]);
  expect(command, `autoglm ${words.join(' ')}`).toBeDefined();
  // One with options does something itself, too.
  const isNested = words[1] !== undefined && !words[1].startsWith('-');
  if (command!.commands.length > 0 && (isNested || command!.options.length === 0)) {
    command = command!.commands.find((known) => known.name() === words[1]);
    expect(command, `autoglm ${words.join(' ')}`).toBeDefined();
  }
  const options = words.includes('--recovery') ? hoursOptions : simulatorOptions;
  const simulated = Object.keys(options).map((name) => `--${name}`);
  for (const word of words.filter((text) => text.startsWith('-') && text !== '-')) {
    const known =
      command!.name() === 'simulate'
        ? [...simulated, '--recovery', '--json', '--trace']
        : command!.options.flatMap(({ long, short }) => [long, short]);
    expect(known, `autoglm ${words.join(' ')}`).toContain(word.split('=')[0]);
  }
}

function checkSyntax({ language, text }: Block): void {
  const [program, args] =
    language === 'python'
      ? ['python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())']]
      : language === 'js'
        ? [process.execPath, ['--input-type=module', '--check', '-']]
        : ['bash', ['-n']];
  const result = spawnSync(program as string, args as string[], { input: text, encoding: 'utf8' });
  // A machine without Python cannot read Python; the address in the example is still looked at.
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
    expect(text).toContain('base_url=');
  else expect(result.stderr).toBe('');
}

describe('code blocks of the documentation', () => {
  it('carry a marker that says how they are checked', () => {
    const unmarked = blocks.filter(
      ({ language, kind }) => CHECKED_LANGUAGES.includes(language) && kind === undefined,
    );
    expect(unmarked.map(place)).toEqual([]);
  });

  it('stand in pages whose links lead to files that exist', () => {
    const broken = pages().flatMap((file) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .filter(([, target]) => !existsSync(resolve(ROOT, dirname(file), target!)))
        .map(([, target]) => `${file}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('use only markers that are known', () => {
    const known = ['run', 'parse', 'config', 'recovery', 'litellm', 'unit', 'start', 'test-command'];
    expect(blocks.filter(({ kind }) => kind !== undefined && !known.includes(kind)).map(place)).toEqual([]);
  });

  it.each(
    named(ofKind('run', 'parse', 'start', 'test-command')),
  )('%s has no syntax error', (_place, block) => {
    checkSyntax(block);
  });

  it.each(
    named(blocks.filter(({ language }) => language === 'sh')),
  )('%s names commands that exist', (_place, { text }) => {
    for (const words of autoglmCommands(text)) checkCommand(words);
    const scripts = (
      JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    ).scripts;
    for (const [, name] of text.matchAll(/npm (?:run )?(start|test|check|fix|generate)\b/g))
      expect(scripts).toHaveProperty(name!);
  });

  // `npm install` of npm 10 writes the lock file of npm 11 anew, and a checkout that was only tried is dirty.
  it.each(named(ofKind('start', 'test-command')))('%s leaves the lock file as it is', (_place, { text }) => {
    expect(text).toMatch(/^npm ci &&/);
  });

  it.each(named(ofKind('unit')))('%s is a unit that starts what exists', (_place, { text }) => {
    const lines = text.split('\n').filter((line) => line !== '');
    for (const line of lines) expect(line).toMatch(/^(\[\w+\]|\w+=.*|#.*)$/);
    const command = /^ExecStart=(.*)$/m.exec(text)?.[1] ?? '';
    const built = /dist\/(\S+)\.js/.exec(command)?.[1];
    if (built === undefined) for (const words of autoglmCommands(command)) checkCommand(words);
    else expect(existsSync(join(ROOT, 'src', `${built}.ts`)), built).toBe(true);
    expect(command).toMatch(/autoglm/);
  });

  it.each(named(ofKind('config')))('%s is a valid configuration', (_place, { text, attributes }) => {
    const named = (attributes.env ?? '').split(' ').filter((pair) => pair !== '');
    const variables = Object.fromEntries(named.map((pair) => pair.split('=')));
    parseConfig('example', text, { variables, homeDir: '/home/x', workDir: '/' });
  });
});

it.each(named(ofKind('recovery')))('%s is a valid recovery policy', (_place, { text }) => {
  parseRecovery('example', text, { variables: {}, homeDir: '/home/x', workDir: '/' });
});

it.each(named(ofKind('litellm')))('%s is imported with nothing lost', (_place, { text }) => {
  expect(importLiteLlm('config.yaml', text, () => '').notHonoured).toEqual([]);
});

describe('examples, run against a live system', () => {
  let installation: Installation;
  let dir: string;

  beforeAll(async () => {
    installation = new Installation('gateway: { port: 0 }\nadmin: { port: 0 }\n');
    // In the checkout, as readers are told: there the package knows itself by its name.
    dir = mkdtempSync(join(ROOT, '.docs-test-'));
    await installation.serve().waitFor(/^ready: 2 replicas/m);
  });

  afterAll(async () => {
    await installation[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  it.each(named(ofKind('run')))('%s', async (_place, { language, text, attributes }) => {
    const live = text.replaceAll('http://127.0.0.1:8080', installation.record().gatewayAddress);
    // A module is looked up from where the file lies: the `openai` of this repository is the one that must work.
    const file = join(dir, language === 'js' ? 'example.mjs' : 'example.sh');
    writeFileSync(file, live);
    const program = language === 'js' ? process.execPath : 'bash';
    const args = language === 'js' ? [file] : ['-e', file];
    const child = spawn(program, args, {
      cwd: ROOT,
      env: installation.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const result = await collect(child, 60_000);
    expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
    expect(result.stdout).toMatch(new RegExp(attributes.expect ?? '\\S'));
  });
});
