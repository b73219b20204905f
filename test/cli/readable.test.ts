import { describe, expect, test } from 'vitest'
import { bytes, duration, printable, printableLines, table, wrap } from '../../src/cli/readable.ts'

describe('what people read', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1024 * 1024 * 1.5, '1.5 MiB'],
    [250 * 1024 ** 3, '250 GiB'],
  ])('%d bytes are %s', (value, text) => expect(bytes(value)).toBe(text))

  test.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1000, '1 s'],
    [61_000, '1 min 1 s'],
    [3_600_000, '1 h'],
    [90_000_000, '1 d 1 h'],
    [-5000, '-5 s'],
  ])('%d ms are %s', (value, text) => expect(duration(value)).toBe(text))

  test('foreign text cannot move the cursor, colour the screen, turn the line round or fake another line', () => {
    expect(printable('a\u001b[31mred\u0007\n\u202eb')).toBe('a\\u001b[31mred\\u0007\\u000a\\u202eb')
    expect(printableLines('one\ntwo\u001b[2J')).toBe('one\ntwo\\u001b[2J')
    expect(printable('Bücher 読む 🎈')).toBe('Bücher 読む 🎈')
  })

  test('columns are aligned', () => {
    expect(
      table(
        ['NAME', '>COUNT'],
        [
          ['payments', '7'],
          ['x', '1,204'],
        ],
        '  ',
      ),
    ).toBe('  NAME      COUNT\n  payments      7\n  x         1,204\n')
  })

  test('long text is wrapped at words', () => {
    expect(wrap('one two three', 2, 10)).toBe('  one two\n  three')
  })
})
