/** Pools of pretend Tritons, as `models:` has them: started by the system under test, by a command of ours, one protocol each. */
import { resolve } from 'node:path';
import type { ConfigInput } from '../../src/contract/config-schema.ts';
import type { EngineProtocol } from '../../src/contract/fleet.ts';
import type { TritonBackend } from '../../src/wire/triton/model-declaration.ts';

const ENTRY = resolve(import.meta.dirname, '../../src/assembly/simulator-process.ts');
const QUICK = ['--fetch-ms', '0', '--load-ms', '0', '--compile-ms', '0', '--capture-ms', '0'];

const PORT_OPTION: Record<EngineProtocol, string> = {
  openai: '--openai-port',
  'kserve-http': '--port',
  'kserve-grpc': '--grpc-port',
};

export interface TritonPool {
  name: string;
  protocol: EngineProtocol;
  backend?: TritonBackend;
  replicas?: number;
  args?: readonly string[];
  chatTemplate?: string | undefined;
}

export function tritonPool(pool: TritonPool): NonNullable<ConfigInput['models']>[number] {
  const { name, protocol, backend = 'vllm', replicas = 1, args = [], chatTemplate } = pool;
  return {
    model_name: name,
    engine: 'triton',
    protocol,
    replicas,
    command: [
      ...[process.execPath, ENTRY, '--dialect', 'triton', '--triton-backend', backend],
      ...['--host', '{host}', PORT_OPTION[protocol], '{port}', '--model-name', '{model_name}'],
      ...QUICK,
      ...args,
    ],
    ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
  };
}
