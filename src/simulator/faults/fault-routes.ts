/** `/simulator/faults`: arm, list and disarm faults of a running simulator. */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { openAiErrorFrom } from '../../wire/openai/error-object.ts';
import type { ArmedFault, FaultBoard } from './fault-board.ts';
import { parseFaultText } from './fault-script.ts';

export const FAULTS_PATH = '/simulator/faults';
const BODY_BYTES_MAX = 1024 * 1024;

export interface FaultRoutesOptions {
  board: FaultBoard;
  onArmed(armed: ArmedFault): void;
}

/** Answers the exchange. */
export async function handleFaultRoute(exchange: HttpExchange, options: FaultRoutesOptions): Promise<void> {
  try {
    const [status, body] = await answer(exchange, options);
    sendJson(exchange, status, body);
  } catch (thrown) {
    const error = PlatformError.from(thrown);
    sendJson(exchange, error.spec.status, openAiErrorFrom(error));
  }
}

function sendJson(exchange: HttpExchange, status: number, body: unknown): void {
  exchange.send(status, { 'content-type': 'application/json' }, JSON.stringify(body));
}

async function answer(
  exchange: HttpExchange,
  { board, onArmed }: FaultRoutesOptions,
): Promise<[status: number, body: unknown]> {
  const id = decodeURIComponent(exchange.path.slice(FAULTS_PATH.length + 1));
  switch (exchange.method) {
    case 'GET':
      return [200, { faults: board.list() }];
    case 'DELETE':
      if (id === '') board.clear();
      else if (!board.disarm(id)) throw new PlatformError('not_found', unknownFault(id, board));
      return [200, { faults: board.list() }];
    case 'POST':
      return [201, { ids: arm((await exchange.readBody(BODY_BYTES_MAX)).toString('utf8'), board, onArmed) }];
    default:
      throw new PlatformError(
        'method_not_allowed',
        `${exchange.method} ${FAULTS_PATH}; allowed: GET, POST, DELETE`,
      );
  }
}

function arm(text: string, board: FaultBoard, onArmed: FaultRoutesOptions['onArmed']): string[] {
  return parseFaultText(text, 'fault').map((fault) => {
    const armed = board.arm(fault);
    if (armed === undefined) {
      throw new PlatformError('conflict', `there are too many faults; DELETE ${FAULTS_PATH} first`);
    }
    onArmed(armed);
    return armed.id;
  });
}

function unknownFault(id: string, board: FaultBoard): string {
  const known = board.list().map((fault) => fault.id);
  return `unknown fault '${id}'; known: ${known.join(', ') || 'none'}`;
}
