/**
 * `rpm` and `tpm` of deployments to `limits` of the model that they become. LiteLLM counts each deployment by itself; here the
 * model has what all of them together have, and none where one of them has none.
 */
import type { ConfigInput } from '../../../contract/config-schema.ts';
import type { LocatedMap, Place } from './located.ts';
import type { NotHonoured } from './not-honoured.ts';

const AMOUNT_MAX = { rpm: 1_000_000_000, tpm: 10_000_000_000 };
const OURS = { rpm: 'requests_per_minute', tpm: 'tokens_per_minute' } as const;
type ModelLimits = NonNullable<NonNullable<ConfigInput['models']>[number]['limits']>;
type Rate = keyof typeof OURS;
const RATES = Object.keys(OURS) as Rate[];

export type DeploymentRates = Partial<Record<Rate, { amount: number; place: Place }>>;

export function takeRates(params: LocatedMap, notes: NotHonoured[]): DeploymentRates {
  const rates: DeploymentRates = {};
  for (const rate of RATES) {
    const written = params.take(rate);
    if (written === undefined) continue;
    const place = params.place(rate);
    if (typeof written === 'number' && Number.isInteger(written) && written >= 1)
      rates[rate] = { amount: written, place };
    else notes.push({ ...place, reason: 'would be right: an integer of at least 1' });
  }
  return rates;
}

export function limitsOf(
  deployments: readonly { rates: DeploymentRates }[],
  notes: NotHonoured[],
): { limits?: ModelLimits } {
  const limits: ModelLimits = {};
  for (const rate of RATES) {
    const written = deployments.flatMap(({ rates }) => rates[rate] ?? []);
    if (written.length === deployments.length) {
      const sum = written.reduce((total, { amount }) => total + amount, 0);
      limits[OURS[rate]] = Math.min(sum, AMOUNT_MAX[rate]);
    } else {
      const reason = `another deployment of this model has no ${rate}, so the model has no limit`;
      for (const { place } of written) notes.push({ ...place, reason });
    }
  }
  return Object.keys(limits).length === 0 ? {} : { limits };
}
