import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { file_inference } from '../src/wire/kserve/proto/inference_pb.ts';
import { GENERATED_PROTOBUF, stampOf } from './generated-protobuf.ts';

const read = (path: string) => readFileSync(resolve(import.meta.dirname, '..', path), 'utf8');

it.each(GENERATED_PROTOBUF)('$code was made from $proto as it is; `npm run generate:protobuf` writes it', ({
  proto,
  code,
}) => {
  expect(read(code).split('\n')[0]).toBe(stampOf(read(proto)));
});

/** Fields as `Message.name = number`, read from the text without a parser for protobuf. */
function fieldsIn(proto: string): string[] {
  const open: string[] = [];
  const fields: string[] = [];
  for (const line of proto.split('\n')) {
    const opened = /^\s*(message|oneof|service) (\w+) \{/.exec(line);
    const field = /^\s*(?:repeated )?[\w.<>, ]+ (\w+) = (\d+);/.exec(line);
    if (opened !== null && !line.includes('}'))
      open.push(opened[1] === 'message' ? (opened[2] as string) : '');
    else if (/^\s*\}/.test(line)) open.pop();
    else if (field !== null && open.length > 0) {
      fields.push(`${open.filter((name) => name !== '').join('.')}.${field[1]} = ${field[2]}`);
    }
  }
  return fields;
}

it('holds every field of the .proto file under its number', () => {
  const described: string[] = [];
  const walk = (messages: typeof file_inference.messages, path: string) => {
    for (const message of messages) {
      for (const field of message.fields)
        described.push(`${path}${message.name}.${field.name} = ${field.number}`);
      walk(message.nestedMessages, `${path}${message.name}.`);
    }
  };
  walk(file_inference.messages, '');
  const written = fieldsIn(read(GENERATED_PROTOBUF[0].proto));
  expect(written.length).toBeGreaterThan(80);
  expect(described.filter((field) => !/Entry\.(key|value) = /.test(field)).sort()).toEqual(written.sort());
});
