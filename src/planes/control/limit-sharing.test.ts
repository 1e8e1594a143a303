import { describe, expect, it } from 'vitest';
import type { LimitShare, LimitUse } from '../../contract/limit-share.ts';
import { LimitSharing } from './limit-sharing.ts';

/** A gateway that answers when it is asked, unless it is `deaf`. */
class Gateway {
  readonly shares: LimitShare[] = [];
  readonly #sharing: LimitSharing;
  readonly id: string;
  use: LimitUse = { taking: true, used: {}, held: {}, answers: null };
  deaf = false;

  constructor(sharing: LimitSharing, id: string) {
    this.#sharing = sharing;
    this.id = id;
  }

  join(taking = true): Promise<void> {
    return this.#sharing.join(this.id, {
      taking,
      send: (share) => {
        this.shares.push(share);
        if (share.ask === null || this.deaf) return;
        const answers = share.ask;
        setTimeout(() => this.#sharing.said(this.id, { ...this.use, answers }), 1);
      },
    });
  }

  say(use: Partial<LimitUse>): void {
    this.use = { ...this.use, ...use };
    this.#sharing.said(this.id, { ...this.use, answers: null });
  }

  get last(): LimitShare {
    return this.shares.at(-1)!;
  }
}

function setUp() {
  const sharing = new LimitSharing();
  const [a, b, c] = ['a', 'b', 'c'].map((id) => new Gateway(sharing, id)) as [Gateway, Gateway, Gateway];
  return { sharing, a, b, c };
}

describe('LimitSharing', () => {
  it('gives the whole to who is alone', async () => {
    const { a } = setUp();
    await a.join();
    expect(a.last).toEqual({ part: 0, of: 1, others: [], left: [], begin: null, ask: null });
  });

  it('has who is there make room before another begins, with as much used as is used there', async () => {
    const { a, b } = setUp();
    await a.join();
    a.use.used = { k: [0.4, 0.1] };
    a.use.held = { k: 3 };
    const joined = b.join();
    await new Promise((done) => setTimeout(done));
    expect([a.last.part, a.last.of, b.shares.length]).toEqual([0, 2, 0]);
    await joined;
    expect(b.last).toMatchObject({
      part: 1,
      of: 2,
      begin: { k: [0.4, 0.1] },
      others: [{ part: 0, held: { k: 3 } }],
    });
  });

  it('tells the others what one holds, and what it leaves when it takes no more', async () => {
    const { a, b, sharing } = setUp();
    await a.join();
    await b.join();
    a.say({ held: { k: 7 } });
    expect(b.last.others).toEqual([{ part: 0, held: { k: 7 } }]);
    a.say({ taking: false, used: { k: [0.5, 0] } });
    expect(b.last).toMatchObject({
      part: 0,
      of: 1,
      left: [{ part: 0, of: 2, used: { k: [0.5, 0] } }],
      others: [{ part: null, held: { k: 7 } }],
    });
    a.say({ held: {} });
    expect(b.last).toMatchObject({ part: 0, of: 1, left: [], others: [{ part: null, held: {} }] });
    sharing.leave('a');
    expect(b.last).toMatchObject({ part: 0, of: 1, left: [], others: [] });
  });

  it('does not know what one used that was killed', async () => {
    const { a, b, sharing } = setUp();
    await a.join();
    await b.join();
    a.say({ used: { k: [0.1, 0] } });
    sharing.leave('a');
    expect(b.last.left).toEqual([{ part: 0, of: 2, used: null }]);
  });

  it('waits for nobody who does not answer longer than half a second', async () => {
    const { a, b } = setUp();
    await a.join();
    a.say({ used: { k: [0.2, 0] } });
    a.deaf = true;
    await b.join();
    expect(b.last).toMatchObject({ part: 1, of: 2, begin: { k: [0.2, 0] } });
  });

  it('shares among three, and gives one that comes the mean of what is used', async () => {
    const { a, b, c } = setUp();
    await a.join();
    await b.join();
    a.use.used = { k: [0.2, 0] };
    b.use.used = { k: [0.6, 0] };
    await Promise.all([c.join()]);
    expect([a.last.part, b.last.part, c.last.part, c.last.of]).toEqual([0, 1, 2, 3]);
    expect(c.last.begin?.k?.[0]).toBeCloseTo(0.4);
  });

  it('gives no part to one that only finishes what it has', async () => {
    const { a, b } = setUp();
    await a.join(false);
    a.say({ taking: false, held: { k: 2 } });
    await b.join();
    expect(b.last).toMatchObject({ part: 0, of: 1, others: [{ part: null, held: { k: 2 } }] });
  });
});
