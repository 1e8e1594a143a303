/**
 * nginx, the baseline, as a plain reverse proxy: one worker, least connections over the same engines, kept-alive connections,
 * no buffering, no log.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { freePort, start, TARGET_CPU, untilAnswers } from './processes.ts';
import type { TargetKind } from './target.ts';

/** Where packages put it when it is not on the path of people. */
const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];

export const NGINX_MISSING =
  'nginx is not installed: it is the baseline of every ratio. Debian: apt-get install nginx-light (or run .ci/install-debian)';

/** Undefined where it is not installed. */
export function findNginx(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...FOLDERS];
  return folders.map((folder) => join(folder, 'nginx')).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function nginxVersion(binary: string): string {
  return spawnSync(binary, ['-v'], { encoding: 'utf8' }).stderr.trim();
}

export function nginx(binary: string): TargetKind {
  return {
    name: 'nginx',
    start: async ({ folder, enginePorts }) => {
      const port = await freePort();
      const file = join(folder, 'nginx.conf');
      writeFileSync(file, configuration(folder, port, enginePorts));
      const child = start(binary, ['-c', file, '-p', folder], { cpu: TARGET_CPU });
      const origin = `http://127.0.0.1:${port}`;
      await untilAnswers(child, origin, 'nginx');
      return { name: 'nginx', origin, headers: {}, child };
    },
  };
}

function configuration(folder: string, port: number, enginePorts: readonly number[]): string {
  const servers = enginePorts.map((engine) => `server 127.0.0.1:${engine};`).join(' ');
  return `daemon off; worker_processes 1; worker_rlimit_nofile 32768;
pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log;
events { worker_connections 24576; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  client_body_buffer_size 64k; keepalive_requests 1000000;
  upstream engines { least_conn; ${servers} keepalive 1024; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`;
}
