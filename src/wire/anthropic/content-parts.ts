/** Content blocks that a user's turn or a tool's result may hold: text, images, documents, search results. */
import type { ContentPart } from '../canonical/chat-request.ts';
import { showFound } from '../json/parse-object.ts';
import { arrayAt, isSet, nameAt, recordAt, refuse, refuseUse, stringAt } from './request-fields.ts';

/** Parts of one block; citations and cache marks are left out. */
export function contentParts(param: string, block: Record<string, unknown>): ContentPart[] {
  switch (block.type) {
    case 'text':
      return [{ type: 'text', text: stringAt(`${param}.text`, block.text) }];
    case 'image':
      return [{ type: 'image_url', image_url: { url: imageUrl(`${param}.source`, block.source) } }];
    case 'document':
      return documentParts(param, block);
    case 'search_result':
      return [{ type: 'text', text: searchResultText(param, block) }];
    default:
      throw refuseUse(
        `${param}.type`,
        `blocks of type ${showFound(block.type)} can not be given to this model; text, image, document and search_result can`,
      );
  }
}

/** The text of a string or of text blocks, joined by `separator`. */
export function textOf(param: string, content: unknown, separator: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw refuse(param, content, 'a string or an array of text blocks');
  return content
    .map((item, index) => {
      const block = recordAt(`${param}.${index}`, item);
      if (block.type !== 'text') throw refuse(`${param}.${index}.type`, block.type, '"text"');
      return stringAt(`${param}.${index}.text`, block.text);
    })
    .join(separator);
}

function imageUrl(param: string, value: unknown): string {
  const source = recordAt(param, value);
  if (source.type === 'base64') return dataUrl(param, source);
  if (source.type === 'url') return nameAt(`${param}.url`, source.url);
  throw refuse(`${param}.type`, source.type, '"base64" or "url"');
}

function dataUrl(param: string, source: Record<string, unknown>): string {
  const media = nameAt(`${param}.media_type`, source.media_type);
  return `data:${media};base64,${nameAt(`${param}.data`, source.data)}`;
}

function documentParts(param: string, block: Record<string, unknown>): ContentPart[] {
  const source = recordAt(`${param}.source`, block.source);
  const title = isSet(block.title) ? stringAt(`${param}.title`, block.title) : '';
  const context = isSet(block.context) ? stringAt(`${param}.context`, block.context) : '';
  const heading = [title, context].filter((line) => line !== '').join('\n');
  if (source.type === 'base64') {
    const file = {
      ...(title !== '' && { filename: title }),
      file_data: dataUrl(`${param}.source`, source),
    };
    return [
      ...(context === '' ? [] : [{ type: 'text' as const, text: context }]),
      { type: 'file' as const, file },
    ];
  }
  const parts = documentContent(`${param}.source`, source);
  return heading === '' ? parts : [{ type: 'text', text: heading }, ...parts];
}

function documentContent(param: string, source: Record<string, unknown>): ContentPart[] {
  if (source.type === 'text') return [{ type: 'text', text: stringAt(`${param}.data`, source.data) }];
  if (source.type === 'content') {
    if (typeof source.content === 'string') return [{ type: 'text', text: source.content }];
    return arrayAt(`${param}.content`, source.content).flatMap((item, index) => {
      const block = recordAt(`${param}.content.${index}`, item);
      if (block.type !== 'text' && block.type !== 'image')
        throw refuse(`${param}.content.${index}.type`, block.type, '"text" or "image"');
      return contentParts(`${param}.content.${index}`, block);
    });
  }
  throw refuse(
    `${param}.type`,
    source.type,
    '"text", "base64" or "content"; documents by address or by file id are not fetched',
  );
}

function searchResultText(param: string, block: Record<string, unknown>): string {
  return [
    stringAt(`${param}.title`, block.title),
    stringAt(`${param}.source`, block.source),
    textOf(`${param}.content`, block.content, '\n'),
  ].join('\n');
}
