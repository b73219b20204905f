import { describe, expect, test } from 'vitest'
import { readPath } from '../../src/cli/path.ts'
import type { LineOptions } from '../../src/cli/publish-line.ts'
import { readLine } from '../../src/cli/publish-line.ts'

const options: LineOptions = { id: readPath('--id', 'id'), key: undefined, type: undefined }

function read(text: string | Uint8Array, lineOptions = options) {
  return readLine({ number: 1, bytes: typeof text === 'string' ? Buffer.from(text) : text }, lineOptions, 1000)
}

describe('a line to publish', () => {
  test('is a message with what the paths find', () => {
    const all = { id: readPath('--id', 'id'), key: readPath('--key', 'k[0]'), type: 'paid' }
    expect(read('{"id":7,"k":["a"]}', all)).toEqual({
      kind: 'message',
      item: { data: { id: 7, k: ['a'] }, id: '7', key: 'a', type: 'paid' },
    })
  })

  test('may end in a carriage return and begin with a byte order mark', () => {
    expect(read('\ufeff{"id":"a"}\r')).toMatchObject({ kind: 'message', item: { id: 'a' } })
  })

  test.each(['', '   ', '\r', '\ufeff'])('%j is blank', (text) => expect(read(text)).toEqual({ kind: 'blank' }))

  test.each([
    ['{"id":', 'not JSON'],
    ["{'id': 1}", 'not JSON'],
    ['{"id":null}', 'no id: id is null'],
    ['[1]', 'no id: there is nothing at id'],
  ])('%s is rejected', (text, reason) => {
    expect(read(text)).toEqual({ kind: 'rejected', code: 'MESSAGE_INVALID', reason: expect.stringContaining(reason) })
  })

  test('that is not UTF-8 is rejected, not repaired', () => {
    expect(read(new Uint8Array([0x22, 0xff, 0x22]))).toMatchObject({ kind: 'rejected', reason: 'the line is not UTF-8' })
  })

  test('that was too long to keep is rejected by its bound', () => {
    expect(readLine({ number: 1, bytes: undefined }, options, 1000)).toMatchObject({
      kind: 'rejected',
      code: 'MESSAGE_TOO_LARGE',
      reason: expect.stringContaining('1000 bytes'),
    })
  })
})
