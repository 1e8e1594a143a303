/**
 * HTTP/1.1 responses as engines and proxies send them, and as they must not: for tests that compare two readers. Each is a
 * whole connection: the bytes, and whether the other side closes after them.
 */
export interface SampleResponse {
  name: string;
  bytes: Buffer;
  closes: boolean;
}

const SSE = ['data: {"a":1}\n\n', 'data: {"text":"héllo 🙂"}\n\n', ': comment\n\n', 'data: [DONE]\n\n'];
const BODIES = [
  '',
  'x',
  '{"ok":true}',
  'line\r\nline\r\n\r\n',
  '0\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
  'é🙂',
  SSE.join(''),
];
const STATUSES = [
  '200 OK',
  '200',
  '201 Created',
  '400 Bad Request',
  '404 Not Found',
  '429 Too Many Requests',
  '500 Oops',
  '503 Service Unavailable',
];
const HEADERS = [
  '',
  'Server: uvicorn\r\n',
  'content-type: application/json\r\nx-request-id: abc\r\n',
  'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n',
  'X-Empty:\r\nX-Space:   padded   \r\n',
  'X-Colon: a:b:c\r\nKeep-Alive: timeout=5, max=100\r\n',
  'Connection: keep-alive\r\n',
  'Connection: close\r\n',
];

const chunked = (
  pieces: readonly string[],
  options: { extension?: string; trailers?: string; upper?: boolean } = {},
) =>
  `${pieces
    .filter((piece) => piece !== '')
    .map((piece) => {
      const size = Buffer.byteLength(piece).toString(16);
      return `${options.upper ? size.toUpperCase() : size}${options.extension ?? ''}\r\n${piece}\r\n`;
    })
    .join('')}0\r\n${options.trailers ?? ''}\r\n`;

function* valid(): Generator<[name: string, text: string, closes: boolean]> {
  for (const [s, status] of STATUSES.entries()) {
    for (const [h, headers] of HEADERS.entries()) {
      const body = BODIES[(s + h) % BODIES.length] as string;
      const head = `HTTP/1.1 ${status}\r\n${headers}`;
      yield [`length ${s}.${h}`, `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, false];
      yield [
        `chunked ${s}.${h}`,
        `${head}Transfer-Encoding: chunked\r\n\r\n${chunked([body, ...SSE.slice(0, h % 4)])}`,
        false,
      ];
    }
    for (const [h, headers] of HEADERS.entries()) {
      const rest = BODIES[(s * 3 + h) % BODIES.length] as string;
      yield [
        `until close ${s}.${h}`,
        `HTTP/1.1 ${status}\r\n${headers}Content-Type: text/event-stream\r\n\r\n${rest}`,
        true,
      ];
    }
    const body = BODIES[s] as string;
    yield [
      `HTTP/1.0 ${s}`,
      `HTTP/1.0 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      true,
    ];
    yield [
      `early hints ${s}`,
      `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`,
      false,
    ];
    yield [
      `continue ${s}`,
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ${status}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked([body, 'more'])}`,
      false,
    ];
    yield [
      `upper case sizes ${s}`,
      `HTTP/1.1 ${status}\r\nTransfer-Encoding: Chunked\r\n\r\n${chunked(['x'.repeat(171 + s)], { upper: true })}`,
      false,
    ];
    yield [
      `chunk extension ${s}`,
      `HTTP/1.1 ${status}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked([body, 'b'], { extension: ';a=b' })}`,
      false,
    ];
    yield [
      `trailers ${s}`,
      `HTTP/1.1 ${status}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked([body], { trailers: 'X-Sum: 1\r\nX-Other: 2\r\n' })}`,
      false,
    ];
    yield [
      `other case ${s}`,
      `HTTP/1.1 ${status}\r\nCONTENT-LENGTH: 2\r\nCoNtEnT-TyPe: a/b\r\n\r\nok`,
      false,
    ];
  }
  yield ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', false];
  yield ['not modified', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n', false];
  yield [
    'leading zeros',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n',
    false,
  ];
  yield ['latin1 header', 'HTTP/1.1 200 OK\r\nX-Name: caf\u00e9\r\nContent-Length: 1\r\n\r\nx', false];
}

/** Responses that end too early, at the point that is named. */
function* truncated(): Generator<[string, string, boolean]> {
  const whole = `HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world`;
  for (let end = 1; end < whole.length; end += 2) yield [`length cut at ${end}`, whole.slice(0, end), true];
  const pieces = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(['hello', ' world'])}`;
  for (let end = 47; end < pieces.length; end++) yield [`chunked cut at ${end}`, pieces.slice(0, end), true];
}

/** Responses that two readers could understand differently, or nobody at all. */
const BROKEN: [string, string][] = [
  ['no status line', 'hello\r\n\r\n'],
  ['another protocol', 'RTSP/1.0 200 OK\r\n\r\n'],
  ['HTTP/2 in words', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['no status', 'HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  [
    'length and chunked',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['a length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc'],
  ['a length in words', 'HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc'],
  ['a hexadecimal length', 'HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc'],
  ['a chunk without size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n'],
  [
    'a chunk size that is no number',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n',
  ],
  [
    'a chunk longer than it said',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n',
  ],
  ['a header without a name', 'HTTP/1.1 200 OK\r\n: value\r\nContent-Length: 0\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc'],
  ['a zero byte in a header', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'],
  ['switching protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
];

export function responseCorpus(): SampleResponse[] {
  const samples: SampleResponse[] = [];
  const add = (name: string, text: string, closes: boolean) =>
    samples.push({ name, bytes: Buffer.from(text, name === 'latin1 header' ? 'latin1' : 'utf8'), closes });
  for (const [name, text, closes] of valid()) add(name, text, closes);
  for (const [name, text, closes] of truncated()) add(name, text, closes);
  for (const [name, text] of BROKEN) add(name, text, true);
  return samples;
}
