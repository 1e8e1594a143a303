/** Every generated file of the repository, with its text. `npm run generate` writes them; a unit test proves them fresh. */
import { cliPage } from './cli.ts';
import { configurationJsonSchema, configurationPage } from './configuration.ts';
import { DIAGNOSIS_PAGE, diagnosisPage } from './diagnosis.ts';
import { errorsPage } from './errors.ts';
import { metricsPage } from './metrics.ts';
import { planningPages } from './planning.ts';
import { RECOVERY_PAGE, recoveryFilePage, recoveryFileSchemaText, recoveryPage } from './recovery.ts';

export interface GeneratedPage {
  /** Relative to the root of the repository. */
  path: string;
  text: string;
}

export function generatedPages(): GeneratedPage[] {
  return [
    { path: 'docs/reference/autoglm.schema.json', text: configurationJsonSchema() },
    { path: 'docs/reference/configuration.md', text: configurationPage() },
    { path: 'docs/reference/errors.md', text: errorsPage() },
    { path: 'docs/reference/cli.md', text: cliPage() },
    { path: 'docs/reference/metrics.md', text: metricsPage() },
    { path: DIAGNOSIS_PAGE, text: diagnosisPage() },
    ...planningPages(),
    { path: 'docs/reference/auto-recovery.schema.json', text: recoveryFileSchemaText() },
    { path: 'docs/reference/auto-recovery.md', text: recoveryFilePage() },
    { path: RECOVERY_PAGE, text: recoveryPage() },
  ];
}
