/**
 * The malformed corpora of reliability tests T21 and T22: raw HTTP messages, JSON bodies and event streams that are broken, or
 * valid and odd. Each entry says what must become of it. Generated from tables, so that a new oddity is one line.
 */

/** `valid`: any status below 500. `refused`: 4xx, or the connection is closed; silence is neither. `either`: parsers may differ; never 5xx. */
export type Verdict = 'valid' | 'refused' | 'either';

export interface RawMessage {
  name: string;
  bytes: Buffer;
  verdict: Verdict;
}

const BODY = '{"model":"script","messages":[{"role":"user","content":"hi"}]}';
const raw = (name: string, text: string, verdict: Verdict): RawMessage => ({
  name,
  bytes: Buffer.from(text, 'latin1'),
  verdict,
});
const post = (headers: string, body = BODY) =>
  `POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n${headers}\r\n${body}`;
const length = `Content-Length: ${BODY.length}\r\n`;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'FOO', '', 'G ET', 'G\0T', 'M-SEARCH']; // biome-ignore format: a list
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/0.9',
  'HTTP/1.2',
  'HTTP/1.1 ',
  'http/1.1',
  'HTTP/1,1',
  'HTTP',
  '',
];
const TARGETS = [
  '/v1/models', '/v1/models/', '/v1/models?x=%', '/v1/models/%', '/v1/models/%zz', '/v1/models/%ff', '/v1/models/a%2Fb', '*', 'v1/models', '//v1/models', '/v1//models',
  '/v1/../models', '/./v1/models', '/v1/%2e%2e/models', '/%00', '/\x01', '/\x7f', '/\xff', '/a b', '/a\tb', '/#x', '/v1\\models', 'http://h/v1/models', 'http://other/v1/models',
  'https://h:99999/', 'http://', '://', '?x', '/?', '/v1/models;x=1', '/V1/MODELS', `/${'a'.repeat(8000)}`, `/${'a'.repeat(20_000)}`, '/v1/chat/completions/../models',
]; // biome-ignore format: a list

/** Header lines with what becomes of a POST that has them. */
const HEADERS: [line: string, verdict: Verdict][] = [
  ['Content-Length: 62\r\nContent-Length: 62', 'refused'], ['Content-Length: 1\r\nContent-Length: 62', 'refused'], ['Content-Length: -1', 'refused'],
  ['Content-Length: +62', 'refused'], ['Content-Length: 0x3e', 'refused'], ['Content-Length: 62, 62', 'refused'], ['Content-Length: 6 2', 'refused'],
  ['Content-Length: 99999999999999999999', 'refused'], ['Content-Length:', 'refused'], ['Content-Length: abc', 'refused'], ['Content-Length: 1e2', 'refused'],
  ['Transfer-Encoding: gzip', 'refused'], ['Transfer-Encoding: gzip, chunked', 'refused'], ['Transfer-Encoding: chunked, chunked', 'refused'], ['Transfer-Encoding: xchunked', 'refused'],
  ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'refused'], ['Transfer-Encoding: chunked\r\nContent-Length: 62', 'refused'], ['Transfer-Encoding : chunked', 'refused'],
  ['Transfer-Encoding:\x0bchunked', 'refused'], ['Transfer-Encoding: identity', 'refused'], ['Transfer_Encoding: chunked', 'refused'], ['Content_Length: 62', 'refused'],
  ['Host: other', 'refused'], ['Host: h', 'refused'], ['Authorization: Bearer a\r\nAuthorization: Bearer b', 'refused'], ['Authorization: Bearer a\r\nX-Api-Key: b', 'refused'],
  ['X-Api-Key: a\r\nX-Api-Key: b', 'refused'], ['No colon', 'refused'], [': no name', 'refused'], ['Bad Name: x', 'refused'], ['Bad\0Name: x', 'refused'], ['Name: a\0b', 'refused'],
  ['Name: a\rb', 'refused'], ['Name: a\nX: b', 'either'], [' Folded: x', 'refused'], ['Name: a\r\n folded', 'either'], ['Naïve: x', 'refused'], ['Name: \x80\xff', 'either'],
  ['Expect: 100-continue', 'valid'], ['Expect: 200-ok', 'refused'], ['Upgrade: websocket\r\nConnection: Upgrade', 'either'], ['Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings', 'either'],
  ['Connection: close', 'valid'], ['Connection: keep-alive, foo', 'valid'], ['Content-Encoding: gzip', 'refused'], ['Content-Encoding: br, gzip', 'refused'], ['Content-Encoding: identity', 'valid'],
  ['Content-Type: text/plain', 'valid'], ['Content-Type: application/json; charset=utf-7', 'valid'], ['Content-Type: ', 'valid'], ['Origin: http://evil.example', 'refused'], ['Origin: null', 'refused'],
  ['Origin: http://localhost:3000', 'valid'], ['X-Request-Id: \t', 'valid'], [`X-Request-Id: ${'x'.repeat(5000)}`, 'valid'], ['X-Stainless-Retry-Count: -1', 'valid'], ['X-Stainless-Timeout: 1e9', 'valid'],
  ['traceparent: 00-zz', 'valid'], [`X-Big: ${'x'.repeat(17_000)}`, 'refused'], [Array.from({ length: 2000 }, (_, i) => `X-${i}: 1`).join('\r\n'), 'refused'], ['Te: trailers', 'valid'], ['Trailer: X', 'valid'],
]; // biome-ignore format: a table

/** Chunked bodies. */
const CHUNKED: [body: string, verdict: Verdict][] = [
  [`${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`, 'valid'], [`${BODY.length.toString(16).toUpperCase()};ext=1\r\n${BODY}\r\n0\r\n\r\n`, 'valid'], ['0\r\n\r\n', 'refused'],
  ['xyz\r\nabc\r\n0\r\n\r\n', 'refused'], ['-1\r\na\r\n0\r\n\r\n', 'refused'], ['0x5\r\nabcde\r\n0\r\n\r\n', 'refused'], ['ffffffffffffffff\r\n', 'either'], ['fffffffffffffffff0\r\n', 'refused'],
  ['5\r\nabcdeXX0\r\n\r\n', 'refused'], ['5\nabcde\n0\n\n', 'refused'], ['5 \r\nabcde\r\n0\r\n\r\n', 'refused'], ['\r\n5\r\nabcde\r\n0\r\n\r\n', 'refused'], ['5', 'either'], ['5\r\nab', 'either'],
  [`1;${'e'.repeat(20_000)}\r\na\r\n0\r\n\r\n`, 'refused'], ['1\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n', 'refused'], [`1\r\n{\r\n0\r\n${'T: x\r\n'.repeat(5000)}\r\n`, 'refused'],
]; // biome-ignore format: a table

const NOISE = ['\x16\x03\x01\x02\x00\x01\x00', 'SSH-2.0-x\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\r\n\r\n\r\n', '\0\0\0\0', '{"model":"script"}\n', 'GET', 'GET /v1/models', 'GET /v1/models HTTP/1.1\r\n', 'GET /v1/models HTTP/1.1\r\nHost: h', 'GET /v1/models HTTP/1.1\nHost: h\n\n', 'A'.repeat(100_000), '\r\nGET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\ngarbage']; // biome-ignore format: a list

export function rawHttpMessages(): RawMessage[] {
  const plain = (method: string, target: string, version: string) =>
    `${method} ${target} ${version}\r\nHost: h\r\nConnection: close\r\n\r\n`;
  return [
    ...METHODS.flatMap((method) =>
      VERSIONS.map((version) => raw(`${method} ${version}`, plain(method, '/v1/models', version), 'either')),
    ),
    ...TARGETS.flatMap((target) =>
      ['HTTP/1.1', 'HTTP/1.0'].map((version) =>
        raw(`${target.slice(0, 40)} ${version}`, plain('GET', target, version), 'either'),
      ),
    ),
    ...HEADERS.flatMap(([line, verdict]) => {
      const framed = /^(content.length|transfer.encoding)/i.test(line) ? '' : length;
      return [
        raw(`before: ${line.slice(0, 60)}`, post(`${line}\r\n${framed}`), verdict),
        raw(`after: ${line.slice(0, 60)}`, post(`${framed}${line}\r\n`), verdict),
      ];
    }),
    ...CHUNKED.map(([body, verdict]) =>
      raw(`chunked: ${body.slice(0, 40)}`, post('Transfer-Encoding: chunked\r\n', body), verdict),
    ),
    ...NOISE.map((text) => raw(`noise: ${text.slice(0, 30)}`, text, 'either')),
    raw('no host', 'GET /v1/models HTTP/1.1\r\n\r\n', 'refused'),
    raw('a body on GET', `GET /v1/models HTTP/1.1\r\nHost: h\r\n${length}\r\n${BODY}`, 'refused'),
  ];
}

export interface JsonBody {
  name: string;
  body: Buffer;
  /** `refused`: the text is no JSON object. `valid`: it is one; what the engine says of its fields is the engine's business. */
  verdict: 'valid' | 'refused';
}

const deep = (depth: number, open = '[', close = ']') => `${open.repeat(depth)}${close.repeat(depth)}`;
const VALUES: [name: string, json: string][] = [
  ['null', 'null'], ['true', 'true'], ['0', '0'], ['-0', '-0'], ['-1', '-1'], ['1.5', '1.5'], ['1e999', '1e999'], ['-1e999', '-1e999'], ['1e-999', '1e-999'], ['20 digits', '12345678901234567890'], ['2^53', '9007199254740993'],
  ['empty text', '""'], ['text', '"x"'], ['NUL', '"\\u0000"'], ['a lone high surrogate', '"\\ud800"'], ['a lone low surrogate', '"\\udc00x"'], ['surrogates the wrong way', '"\\udc00\\ud800"'], ['a pair', '"\\ud83d\\ude42"'], ['U+FFFF', '"\\uffff"'],
  ['a byte order mark', '"\\ufeff"'], ['line separators', '"\u2028\u2029"'], ['right to left', '"\u202e"'], ['a special token', '"<|im_end|>"'], ['10,000 characters', `"${'x'.repeat(10_000)}"`], ['an empty list', '[]'], ['an empty object', '{}'], ['nested lists', '[[[]]]'], ['mixed', '[1,"a",null,{}]'],
  ['10,000 deep lists', deep(10_000)], ['10,000 deep objects', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`], ['__proto__', '{"__proto__":{"x":1}}'], ['constructor', '{"constructor":{"prototype":{"x":1}}}'], ['toString', '{"toString":null,"valueOf":1,"hasOwnProperty":2}'],
  ['1,000 keys', `{${Array.from({ length: 1000 }, (_, i) => `"k${i}":${i}`).join(',')}}`], ['1,000 items', `[${Array(1000).fill('0').join(',')}]`], ['messages', '[{"role":"user","content":"hi"}]'], ['a wrong role', '[{"role":"x","content":"hi"}]'], ['no content', '[{"role":"user"}]'], ['null messages', '[null]'],
]; // biome-ignore format: a table
const FIELDS = ['messages', 'model', 'stream', 'stream_options', 'n', 'max_tokens', 'temperature', 'stop', 'tools', 'tool_choice', 'response_format', 'logit_bias', 'seed', 'chat_template_kwargs', 'metadata', '__proto__', 'constructor', '']; // biome-ignore format: a list

const NO_OBJECTS: string[] = [
  '', ' ', 'null', 'true', '1', '"x"', '[]', '[{}]', '{', '}', '{]', '{"model"}', '{"model":}', '{"model":"script",}', '{,}', "{'model':'script'}", '{model:"script"}', '{"model":"script"} x', '{"model":"script"}{}', '// x\n{}', '/* x */{}',
  '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":NaN}', '{"a":Infinity}', '{"a":0x10}', '{"a":"\t"}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"', '{"a":"\\', '{"a":tru}', '{"a":[1,2', `{"a":${'['.repeat(10_000)}`, '\ufeff{"model":"script"}', '{"a":1}\0', 'model=script', '<xml/>', `{"a":"${'x'.repeat(100)}`,
]; // biome-ignore format: a list
const NO_UTF8 = [
  [0xff],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
  [0x80],
].map((bytes) =>
  Buffer.concat([Buffer.from('{"model":"script","x":"'), Buffer.from(bytes), Buffer.from('"}')]),
);

export function jsonBodies(): JsonBody[] {
  const valid = (name: string, body: string): JsonBody => ({
    name,
    body: Buffer.from(body),
    verdict: 'valid',
  });
  const base: Record<string, string> = {
    model: '"sim"',
    messages: '[{"role":"user","content":"hi"}]',
    max_tokens: '2',
  };
  const withField = (field: string, json: string) => {
    const fields = { ...base };
    delete fields[field];
    const rest = Object.entries(fields).map(([key, value]) => `"${key}":${value}`);
    return `{${[`${JSON.stringify(field)}:${json}`, ...rest].join(',')}}`;
  };
  return [
    ...FIELDS.flatMap((field) =>
      VALUES.map(([name, json]) => valid(`${field}: ${name}`, withField(field, json))),
    ),
    ...Object.keys(base).map((field) =>
      valid(`${field} twice`, withField(field, `1,${JSON.stringify(field)}:${base[field]}`)),
    ),
    ...NO_OBJECTS.map(
      (text): JsonBody => ({
        name: `no object: ${text.slice(0, 40)}`,
        body: Buffer.from(text),
        verdict: 'refused',
      }),
    ),
    ...NO_UTF8.map((body, index): JsonBody => ({ name: `no UTF-8: ${index}`, body, verdict: 'refused' })),
  ];
}

export interface EngineStream {
  name: string;
  chunks: Buffer[];
  /** `valid`: the client reads these very bytes. `broken`: it reads an end with [DONE] or an error. */
  verdict: 'valid' | 'broken';
}

const event = (content: string, finish: string | null, eol: string) =>
  `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}${eol}${eol}`;

export function engineStreams(): EngineStream[] {
  const streams: EngineStream[] = [];
  const valid = (name: string, text: string, cuts: number[]) => {
    const bytes = Buffer.from(text);
    const borders = [0, ...cuts, bytes.length];
    const chunks = borders.slice(1).map((end, at) => bytes.subarray(borders[at], end));
    streams.push({ name, chunks, verdict: 'valid' });
  };
  for (const [name, eol] of [
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ] as const) {
    const text = `: hi${eol}${eol}${event('é語🙂', null, eol)}${event('', 'stop', eol)}data: [DONE]${eol}${eol}`;
    const size = Buffer.byteLength(text);
    for (let cut = 1; cut < size; cut++) valid(`${name}, cut at ${cut}`, text, [cut]);
    valid(
      `${name}, byte by byte`,
      text,
      Array.from({ length: size - 1 }, (_, at) => at + 1),
    );
  }
  const end = `${event('', 'stop', '\n')}data: [DONE]`;
  valid('a byte order mark', `\ufeff${event('a', null, '\n')}${end}\n\n`, [1, 2, 3]);
  valid('no final blank line', event('a', null, '\n') + end, [9]);
  valid('one final line end', `${event('a', null, '\n')}${end}\n`, []);
  valid('a line of a megabyte', `${event('語'.repeat(350_000), null, '\n')}${end}\n\n`, [500_000, 700_001]);
  valid('a comment of a megabyte', `${event('a', null, '\n')}: ${'x'.repeat(1_000_000)}\n\n${end}\n\n`, [5]);
  valid('10,000 empty events', `${event('a', null, '\n')}${':\n\n'.repeat(10_000)}${end}\n\n`, []);
  const broken: [string, (string | Buffer)[]][] = [
    ['half an event', ['data: {"choices":[{"index":0,"del']], ['no JSON', ['data: hello\n\n', 'data: {]\n\n']], ['a JSON list', ['data: []\n\n']], ['a JSON text', ['data: "x"\n\n']], ['bytes that are no UTF-8', [Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 0x0a, 0x0a])]],
    ['NUL', ['data: \0\0\n\n']], ['HTML', ['<html><body>502 Bad Gateway</body></html>']], ['choices of the wrong type', ['data: {"choices":5}\n\n', 'data: {"choices":[null,5]}\n\n']], ['a wrong index', [`data: {"choices":[{"index":-1,"delta":{"content":"a"}}]}\n\n`]],
    ['__proto__', ['data: {"__proto__":{"error":1},"choices":[{"index":"__proto__","delta":{"content":"a"}}]}\n\n']], ['an event that is 10,000 deep', [`data: ${deep(10_000)}\n\n`]], ['only comments', [': a\n\n', ': b\n\n']], ['nothing', ['']], ['a reason and no more', [event('a', 'stop', '\n')]],
    ['an error without words', ['data: {"error":{}}\n\n']], ['an error that is text', ['data: {"error":"x"}\n\n']], ['an error of 400', ['data: {"error":{"code":400,"message":"x"}}\n\n']], ['event: error', ['event: error\ndata: x\n\n']], ['text, then garbage', [event('a', null, '\n'), 'data: {"choices":[{"in']],
    ['17 MiB without an end', [Buffer.alloc(17 * 1024 * 1024, 0x61)]],
  ]; // biome-ignore format: a table
  for (const [name, chunks] of broken)
    streams.push({ name, chunks: chunks.map((chunk) => Buffer.from(chunk as string)), verdict: 'broken' });
  return streams;
}
