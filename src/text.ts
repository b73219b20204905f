import { OnefoldError } from './errors.ts'

/** Control characters, which no id needs and which databases, wires and terminals treat each in its way; and surrogates. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const needsCare = /[\u0000-\u001f\u007f\ud800-\udfff]/

/**
 * Checks a text that becomes part of a message's identity or of a wire: an id, a source, a key, a header.
 *
 * Accepted are strings of 1 to `maxChars` UTF-16 code units without control characters (U+0000–U+001F, U+007F) and
 * without halves of surrogate pairs: what UTF-8 can carry and give back unchanged.
 *
 * @throws OnefoldError `MESSAGE_INVALID` naming `what`.
 */
export function checkText(what: string, value: unknown, maxChars: number): asserts value is string {
  if (typeof value !== 'string') throw textInvalid(what, value === null ? 'null' : typeof value, maxChars)
  if (value.length === 0) throw textInvalid(what, 'empty', maxChars)
  if (value.length > maxChars) throw textInvalid(what, `${value.length} characters long`, maxChars)
  if (needsCare.test(value)) checkCharacters(what, value, maxChars)
}

function checkCharacters(what: string, value: string, maxChars: number): void {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0x1f && code !== 0x7f) continue
    throw textInvalid(what, `has the control character U+${hex(code)} at position ${i}`, maxChars)
  }
  if (!value.isWellFormed()) throw textInvalid(what, 'has half of a surrogate pair in it', maxChars)
}

function hex(code: number): string {
  return code.toString(16).toUpperCase().padStart(4, '0')
}

function textInvalid(what: string, found: string, maxChars: number): OnefoldError {
  const expected = `a string of 1 to ${maxChars} characters without control characters`
  const verb = found.startsWith('has ') ? '' : 'is '
  return new OnefoldError('MESSAGE_INVALID', `${what} ${verb}${found}; it must be ${expected}.`, {
    details: { field: what, expected },
  })
}
