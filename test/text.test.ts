import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isOnefoldError } from '../src/errors.ts'
import { checkText } from '../src/text.ts'

function accepted(value: unknown, maxChars = 200): boolean {
  try {
    checkText('id', value, maxChars)
    return true
  } catch (error) {
    if (isOnefoldError(error, 'MESSAGE_INVALID')) return false
    throw error
  }
}

describe('a text that identifies', () => {
  test('is accepted when it has 1 to maxChars characters and UTF-8 can carry it', () => {
    for (const text of ['a', 'evt_1', 'Straße 5/2', '日本', '😀', '\u0080', ' ', 'x'.repeat(200)])
      expect(accepted(text)).toBe(true)
  })

  test.each<[unknown, string]>([
    [undefined, 'id is undefined; it must be a string of 1 to 5 characters without control characters.'],
    [null, 'id is null;'],
    [7, 'id is number;'],
    ['', 'id is empty;'],
    ['abcdef', 'id is 6 characters long;'],
    ['a\nb', 'id has the control character U+000A at position 1;'],
    ['ab\u0000', 'id has the control character U+0000 at position 2;'],
    ['😀\u007f', 'id has the control character U+007F at position 2;'],
    ['\ud83d', 'id has half of a surrogate pair in it;'],
    ['x\ude00', 'id has half of a surrogate pair in it;'],
  ])('%j is refused by name and reason', (value, message) => {
    expect(() => checkText('id', value, 5)).toThrow(message)
  })

  test('is refused exactly when it has a control character or does not survive UTF-8', () => {
    const unit = fc.oneof(
      fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
      fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code)),
      fc.constantFrom('\ud83d', '\ude00', '😀', 'a'),
    )
    fc.assert(
      fc.property(fc.string({ unit, minLength: 1, maxLength: 10 }), (text) => {
        const control = [...text].some((character) => character <= '\u001f' || character === '\u007f')
        const carried = Buffer.from(text, 'utf8').toString('utf8') === text
        expect(accepted(text)).toBe(!control && carried)
      }),
      { numRuns: 2000 },
    )
  })
})
