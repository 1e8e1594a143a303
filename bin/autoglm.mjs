#!/usr/bin/env node
/**
 * Start of the command line. Plain JavaScript that old Nodes can read: it checks the Node that runs it first, and only then
 * loads the platform, from `src/` in a checkout or from `dist/` in an installed package. A checkout that has installed its
 * own Node is run with that one.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NODE_MAJOR_MIN = 24;

/** Names the descriptor of the pipe to the process in between. */
const STARTER = 'AUTOGLM_STARTER_FD';
/** The first after standard input, output and error. */
const STARTER_FD = 3;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'cli', 'main.ts');
const built = join(root, 'dist', 'cli', 'main.js');

/**
 * Who kills the process that they started means this one. It must go the same way: a launcher that stayed behind unseen would
 * hold its lock, where the next one is to adopt what runs.
 */
function endWithStarter() {
  const fd = process.env[STARTER];
  delete process.env[STARTER];
  if (fd === undefined) return;
  const pipe = new Socket({ fd: Number(fd), readable: true, writable: false });
  pipe.on('error', () => {});
  pipe.once('close', () => process.kill(process.pid, 'SIGKILL'));
  pipe.resume();
  pipe.unref();
}

function start() {
  endWithStarter();
  const entry = existsSync(source) ? source : built;
  if (!existsSync(entry)) {
    process.stderr.write(
      `autoglm: neither ${source} nor ${built} exists.\nIn a checkout run \`npm ci\`, in a package \`npm run build\`.\n`,
    );
    process.exit(1);
  }
  import('node:module')
    .then((module) => {
      module.enableCompileCache();
      return import(pathToFileURL(entry).href);
    })
    .then((main) => main.main(process.argv.slice(2)))
    .catch((error) => {
      process.stderr.write(`autoglm: ${error instanceof Error ? error.stack : error}\n`);
      process.exitCode = 1;
    });
}

/**
 * Runs this same command with another Node. Each signal goes on to it; its end is ours, and ours its: a pipe that nobody else
 * holds tells it when this process was killed.
 */
function startWith(node) {
  const child = spawn(node, process.argv.slice(1), {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [STARTER]: String(STARTER_FD) },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', refuse);
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]));
}

function refuse() {
  const installed = existsSync(join(root, 'package-lock.json'));
  process.stderr.write(
    `autoglm needs Node ${NODE_MAJOR_MIN} or later; this is Node ${process.versions.node} (${process.execPath}).\n` +
      (installed
        ? `Here \`npm ci\` brings Node ${NODE_MAJOR_MIN}; then \`npm start\` or \`npx autoglm\` uses it.\n`
        : `Get it from https://nodejs.org, or with nvm: \`nvm install ${NODE_MAJOR_MIN}\`.\n`),
  );
  process.exit(1);
}

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
  start();
} else {
  const own = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(own)) startWith(own);
  else refuse();
}
