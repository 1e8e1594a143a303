/**
 * Whether a run is worse than the kept one. Compares what is the same on any machine, or nearly: CPU through that of nginx in the
 * same run, and memory per stream. Latency is reported but not compared, as on a shared machine it says more about the
 * neighbours. Pure.
 */
import type { Figure } from './report.ts';

/** So much may lie between two runs of the same program. */
export const WORSE_MAX = 0.15;

export interface Comparison {
  /** Figures that both runs have. */
  compared: number;
  /** One sentence for each figure that is worse. */
  worse: string[];
}

export function compare(kept: readonly Figure[], found: readonly Figure[]): Comparison {
  const pairs = found
    .filter(({ target }) => target === 'gateway')
    .flatMap((figure) => {
      const before = kept.find(
        ({ scenario, target }) => scenario === figure.scenario && target === figure.target,
      );
      return before === undefined ? [] : [{ before, figure }];
    });
  return {
    compared: pairs.length,
    worse: pairs.flatMap(({ before, figure }) => [
      ...failures(figure),
      ...worseCpu(before, figure),
      ...worseMemory(before, figure),
    ]),
  };
}

function failures({ scenario, failed }: Figure): string[] {
  return failed === 0 ? [] : [`${scenario}: ${failed} requests failed`];
}

/** A program that became slower shows in both ratios; a disturbed repetition shows in one. */
function worseCpu(before: Figure, { scenario, subject, unit, ratioToNginx }: Figure): string[] {
  if (subject !== 'cpu' || before.ratioToNginx === null || ratioToNginx === null) return [];
  const growth = Math.min(
    ratioToNginx.least / before.ratioToNginx.least,
    ratioToNginx.median / before.ratioToNginx.median,
  );
  if (growth <= 1 + WORSE_MAX) return [];
  return [
    `${scenario}: CPU per ${unit} is ${ratioToNginx.least.toFixed(2)} × nginx (median ${ratioToNginx.median.toFixed(2)}), ` +
      `kept ${before.ratioToNginx.least.toFixed(2)} (${before.ratioToNginx.median.toFixed(2)}): ${percent(growth)} worse`,
  ];
}

function worseMemory(before: Figure, { scenario, addedMbPer1000 }: Figure): string[] {
  if (before.addedMbPer1000 === null || addedMbPer1000 === null) return [];
  const growth = addedMbPer1000 / before.addedMbPer1000;
  if (growth <= 1 + WORSE_MAX) return [];
  return [
    `${scenario}: ${addedMbPer1000.toFixed(1)} MB per 1000 streams, kept ${before.addedMbPer1000.toFixed(1)}: ${percent(growth)} worse`,
  ];
}

function percent(growth: number): string {
  return `${Math.round((growth - 1) * 100)} %`;
}
