import { parseJson } from '../parse-json.ts'
import { UsageError } from './usage-error.ts'

/** Where a value lies in a JSON document: `delivery.id`, `items[0].id`, `items.0.id`, `headers["x.y"]`. */
export interface Path {
  readonly text: string
  readonly steps: readonly string[]
}

/** @throws UsageError naming the option. */
export function readPath(option: string, text: string): Path {
  const steps: string[] = []
  const step = /(?:^|(?<=.)\.)([^.[\]"]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y
  while (step.lastIndex < text.length) {
    const match = step.exec(text)
    if (match === null) throw badPath(option, text)
    const [, name, index, quoted] = match
    if (name !== undefined || index !== undefined) steps.push(name ?? index ?? '')
    else steps.push(unquote(option, text, quoted ?? ''))
  }
  if (steps.length === 0) throw badPath(option, text)
  return { text, steps }
}

function unquote(option: string, text: string, quoted: string): string {
  try {
    return String(parseJson(quoted))
  } catch {
    throw badPath(option, text)
  }
}

function badPath(option: string, text: string): UsageError {
  return new UsageError(
    `${option} is ${JSON.stringify(text)}; it must be a path such as delivery.id, items[0].id or headers["x.y"]`,
  )
}

/**
 * The text at `path`, or in words why there is none. A number becomes text; a whole number that JSON readers round
 * (beyond 2^53) is refused, because two different ones could become the same text.
 */
export function textAt(data: unknown, path: Path): { readonly text: string } | { readonly problem: string } {
  let value = data
  for (const step of path.steps) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, step))
      return { problem: `there is nothing at ${path.text}` }
    value = (value as Record<string, unknown>)[step]
  }
  if (typeof value === 'string') return value === '' ? { problem: `the text at ${path.text} is empty` } : { text: value }
  if (typeof value !== 'number') return { problem: `${path.text} is ${kindOf(value)}; it must be text or a number` }
  const exact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
  return exact ? { text: String(value) } : { problem: `the number at ${path.text} is too large to be exact; write it as text` }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
