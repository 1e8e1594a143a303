/** Whether an address or host name can only be reached from this machine. */
import { isIP } from 'node:net';

export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  if (isIP(name) === 4) return name.startsWith('127.');
  return name === '::1' || name === '0:0:0:0:0:0:0:1' || /^::ffff:127\./.test(name);
}

/** Origin that reaches a server listening on `host` from this machine. */
export function localOrigin(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const target = bare === '0.0.0.0' || bare === '' ? '127.0.0.1' : bare === '::' ? '::1' : bare;
  return `http://${isIP(target) === 6 ? `[${target}]` : target}:${port}`;
}
