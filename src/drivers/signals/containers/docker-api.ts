/**
 * As much of the Docker Engine API as is needed (https://docs.docker.com/reference/api/engine/; Podman speaks it too), over a Unix
 * socket: answers are bounded, and each has a deadline. Nothing is changed.
 */
import { request } from 'node:http';

export interface ContainerState {
  id: string;
  state: string;
  oomKilled: boolean;
  exitCode: number | null;
  restarts: number;
  /** 0: it does not run. */
  pid: number;
}

export interface ListedContainer {
  id: string;
  labels: Readonly<Record<string, string>>;
}

const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

export class DockerApi {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Also those that have ended, that carry the label. */
  async labelled(label: string, signal: AbortSignal): Promise<ListedContainer[]> {
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const listed = await this.#get(`/containers/json?all=true&filters=${filters}`, signal);
    if (!Array.isArray(listed)) throw new Error('its list of containers is not a list');
    return listed.flatMap((entry: unknown): ListedContainer[] => {
      const { Id, Labels } = record(entry);
      return typeof Id === 'string' ? [{ id: Id, labels: texts(Labels) }] : [];
    });
  }

  /** Null: there is no such container any more. */
  async inspect(id: string, signal: AbortSignal): Promise<ContainerState | null> {
    const found = await this.#get(`/containers/${encodeURIComponent(id)}/json`, signal);
    if (found === null) return null;
    const { Id, State, RestartCount } = record(found);
    const { Status, OOMKilled, ExitCode, Pid } = record(State);
    const state = typeof Status === 'string' ? Status : 'unknown';
    return {
      id: typeof Id === 'string' ? Id : id,
      state,
      oomKilled: OOMKilled === true,
      // While it runs Docker says 0, which would be the status of a good end.
      exitCode: typeof ExitCode === 'number' && (state === 'exited' || state === 'dead') ? ExitCode : null,
      restarts: typeof RestartCount === 'number' ? RestartCount : 0,
      pid: typeof Pid === 'number' ? Pid : 0,
    };
  }

  /** Null: 404. Throws for every other status but 200, and when nobody answers. */
  #get(path: string, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = request(
        { socketPath: this.#socketPath, path, signal, headers: { host: 'docker', connection: 'close' } },
        (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > ANSWER_BYTES_MAX) call.destroy(new Error('its answer is too long'));
            else chunks.push(chunk);
          });
          response.on('error', reject);
          response.on('end', () => {
            const { statusCode } = response;
            if (statusCode === 404) return resolve(null);
            if (statusCode !== 200) return reject(new Error(`it answers ${path} with ${statusCode}`));
            try {
              resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
            } catch {
              reject(new Error('its answer is not JSON'));
            }
          });
        },
      );
      call.on('error', reject);
      call.end();
    });
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
