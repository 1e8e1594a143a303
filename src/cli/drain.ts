/** `autoglm drain <replica>`: no new requests, finish what runs, then stop. */
import { type AdminOptions, type CommandContext, connectAdmin } from './command-context.ts';
import { reportAction } from './report-action.ts';

export async function drain(replica: string, options: AdminOptions, context: CommandContext): Promise<void> {
  const result = await connectAdmin(options, context).drainReplica(replica);
  reportAction(result, options, context);
}
