import { expect, it } from 'vitest';
import { parseEnvelope } from '../../../wire/openai/envelope.ts';
import { ANYBODY } from '../caller.ts';
import { Demand } from './demand.ts';

function ticketOf(
  input: string,
  { tenant = 't', ticket }: { tenant?: string; ticket?: string } = {},
): string {
  const envelope = parseEnvelope('embeddings', Buffer.from(JSON.stringify({ model: 'm', input })));
  if (ticket !== undefined) envelope.ticket = ticket;
  return new Demand(envelope, { ...ANYBODY, tenant }).ticket();
}

it('knows a request again by its tenant and its body', () => {
  expect(ticketOf('a')).toBe(ticketOf('a'));
  expect(new Set([ticketOf('a'), ticketOf('b'), ticketOf('a', { tenant: 'u' })]).size).toBe(3);
});

it('knows requests that may share a call by what they have in common, whoever comes first', () => {
  expect(ticketOf('a', { ticket: 'k' })).toBe(ticketOf('b', { ticket: 'k' }));
  expect(ticketOf('a', { ticket: 'k' })).not.toBe(ticketOf('a', { ticket: 'k', tenant: 'u' }));
});
