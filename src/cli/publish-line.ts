import type { PublishManyItem } from '../index.ts'
import { parseJson } from '../parse-json.ts'
import type { Line } from './lines.ts'
import type { Path } from './path.ts'
import { textAt } from './path.ts'

export interface LineOptions {
  readonly id: Path | undefined
  readonly key: Path | undefined
  readonly type: string | undefined
}

/** What one line of input asks for: nothing (blank), a message, or a refusal in words. */
export type LineContent =
  | { readonly kind: 'blank' }
  | { readonly kind: 'message'; readonly item: PublishManyItem<unknown> }
  | { readonly kind: 'rejected'; readonly code: string; readonly reason: string }

// A byte order mark is dropped; bytes that are not UTF-8 are an error, not question marks.
const utf8 = new TextDecoder('utf-8', { fatal: true })

export function readLine(line: Line, options: LineOptions, maxLineBytes: number): LineContent {
  if (line.bytes === undefined) return rejected('MESSAGE_TOO_LARGE', `the line is longer than ${maxLineBytes} bytes`)
  let text: string
  try {
    text = utf8.decode(line.bytes)
  } catch {
    return rejected('MESSAGE_INVALID', 'the line is not UTF-8')
  }
  if (text.trim() === '') return { kind: 'blank' }
  let data: unknown
  try {
    data = parseJson(text)
  } catch (error) {
    return rejected('MESSAGE_INVALID', `the line is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  const identity: { id?: string; key?: string } = {}
  for (const name of ['id', 'key'] as const) {
    const path = options[name]
    if (path === undefined) continue
    const found = textAt(data, path)
    if ('problem' in found) return rejected('MESSAGE_INVALID', `no ${name}: ${found.problem}`)
    identity[name] = found.text
  }
  return { kind: 'message', item: { data, ...identity, ...(options.type === undefined ? {} : { type: options.type }) } }
}

function rejected(code: string, reason: string): LineContent {
  return { kind: 'rejected', code, reason }
}
