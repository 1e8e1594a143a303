/** How figures of a plan are written. */
export type Show = (value: number) => string;

export const milliseconds: Show = (ms) =>
  ms >= 1000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number(ms.toPrecision(3))} ms`;

export const percent: Show = (share) => `${Math.round(share * 100)} %`;

export const count: Show = (value) =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
