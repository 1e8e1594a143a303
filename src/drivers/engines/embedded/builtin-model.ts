/** The model that comes with the platform; models/README.md says how it was made. */
import { fileURLToPath } from 'node:url';
import { BUILTIN_MODEL_NAME } from '../../../contract/builtin-model.ts';

export const BUILTIN_MODEL = {
  name: BUILTIN_MODEL_NAME,
  /** `src/` and `dist/` lie equally deep in the package. */
  path: fileURLToPath(new URL('../../../../models/inference-ops-demo.Q8_0.gguf', import.meta.url)),
  bytes: 3_000_096,
  sha256: '45502a5222f7e034fe73aa64a5c54da40f6defd215a54852516d8b165e104034',
} as const;
