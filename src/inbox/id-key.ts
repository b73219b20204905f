/**
 * The bytes an id is remembered by.
 *
 * ```
 * 0190b7a2-7c1e-7f00-8000-00000000abcd   00 ‖ the UUID's 16 bytes              17 bytes
 * evt_1PqJ2c2eZvKYlo2C                   the UTF-8 text, up to 32 bytes        1 to 32 bytes
 * anything longer                        01 ‖ first 16 bytes of its SHA-256    17 bytes
 * ```
 */
import { hash } from 'node:crypto'

const maxTextBytes = 32
const uuidPrefix = 0x00
const digestPrefix = 0x01
const utf8 = new TextEncoder()
const scratch = new Uint8Array(maxTextBytes)

/** Value of a lower-case hexadecimal digit by its character code; 255 for everything else. */
const digitValue = new Uint8Array(128).fill(255)
for (const [value, digit] of [...'0123456789abcdef'].entries()) digitValue[digit.charCodeAt(0)] = value

/** Where the two digits of each byte are in a UUID's text. */
const uuidDigitPairs = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34)

/**
 * A compact key of an id: two ids have the same key only if they are the same (or two long ones collide in 128 bits of
 * SHA-256, which nobody can bring about).
 *
 * Ids that are ordered have keys that are ordered: UUIDs (version 7 by time) as their text is, texts of up to 32 bytes
 * by code point. So ids minted in order go to the end of an index, which is what makes them cheap. Longer ids lose their
 * order and cost an index as much as random ones. A UUID is only what is written in the canonical form, lower case:
 * the same digits in upper case are another id.
 *
 * The prefixes are told from text because an id has no control characters; `checkText` refuses them, and halves of
 * surrogate pairs (which UTF-8 would make all alike), before an id comes here.
 *
 * The form is stored: changing it makes every remembered id unknown.
 */
export function idKey(id: string): Uint8Array {
  if (id.length === 36) {
    const key = uuidKey(id)
    if (key !== undefined) return key
  }
  if (id.length <= maxTextBytes) {
    const key = textKey(id)
    if (key !== undefined) return key
  }
  const key = new Uint8Array(17)
  key[0] = digestPrefix
  const digest = hash('sha256', id, 'binary')
  for (let i = 0; i < 16; i++) key[i + 1] = digest.charCodeAt(i)
  return key
}

function uuidKey(id: string): Uint8Array | undefined {
  const dash = 45
  if (id.charCodeAt(8) !== dash || id.charCodeAt(13) !== dash || id.charCodeAt(18) !== dash || id.charCodeAt(23) !== dash) {
    return undefined
  }
  const key = new Uint8Array(17)
  key[0] = uuidPrefix
  for (let i = 0; i < 16; i++) {
    const at = uuidDigitPairs[i] as number
    const high = digitOf(id.charCodeAt(at))
    const low = digitOf(id.charCodeAt(at + 1))
    if (high > 15 || low > 15) return undefined
    key[i + 1] = (high << 4) | low
  }
  return key
}

function digitOf(code: number): number {
  return code < 128 ? (digitValue[code] as number) : 255
}

/** The text's UTF-8 bytes, or undefined when there are too many. */
function textKey(id: string): Uint8Array | undefined {
  const key = new Uint8Array(id.length)
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i)
    if (code >= 0x80) return encodedKey(id)
    key[i] = code
  }
  return key
}

function encodedKey(id: string): Uint8Array | undefined {
  const { read, written } = utf8.encodeInto(id, scratch)
  return read === id.length ? scratch.slice(0, written) : undefined
}
