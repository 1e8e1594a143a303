/**
 * Every step from an empty file to the present tables, in order. Forward only: a step that was released is never changed, a
 * later one corrects it. A new step is a new file with the next number and a line here.
 */
import type { Migration } from '../migrate.ts';
import { responses } from './0001-responses.ts';
import { idempotency } from './0002-idempotency.ts';
import { filesAndBatches } from './0010-files-and-batches.ts';

export const MIGRATIONS: readonly Migration[] = [responses, idempotency, filesAndBatches];
