import { expect, it } from 'vitest';
import { generationPrefix, ownerText, parseOwner } from './owner-tag.ts';

it('carries ids of every kind there and back', () => {
  for (const replica of ['demo/0', 'org/model:7b/1', 'a#1#2#ff/0', 'ä b/3']) {
    const tag = { replica, generation: 7, port: 40123, launchHash: 'c0ffee' };
    expect(parseOwner('abc', ownerText('abc', tag))).toEqual(tag);
    expect(ownerText('abc', tag).startsWith(generationPrefix('abc', replica, 7))).toBe(true);
    expect(ownerText('abc', tag).startsWith(generationPrefix('abc', replica, 70))).toBe(false);
  }
});

it('knows no other owner', () => {
  for (const text of [
    '',
    'abc:gateway:gw-1',
    'abd:replica:demo/0#1#0#ff',
    'abc:replica:demo/0',
    'abc:replica:#1#0#f',
  ])
    expect(parseOwner('abc', text)).toBeUndefined();
});
