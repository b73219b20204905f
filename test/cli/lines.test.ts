import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readLines } from '../../src/cli/lines.ts'

async function linesOf(chunks: readonly Uint8Array[], maxBytes = 1000) {
  const lines: (string | undefined)[] = []
  const numbers: number[] = []
  const stream = (async function* () {
    yield* chunks
  })()
  for await (const some of readLines(stream, maxBytes)) {
    for (const line of some) {
      numbers.push(line.number)
      lines.push(line.bytes === undefined ? undefined : Buffer.from(line.bytes).toString())
    }
  }
  expect(numbers).toEqual(lines.map((_, index) => index + 1))
  return lines
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let from = 0
  for (const size of sizes) {
    chunks.push(bytes.subarray(from, from + size))
    from += size
  }
  return [...chunks, bytes.subarray(from)]
}

describe('lines of a stream', () => {
  test('are the same however the stream is cut into chunks', async () => {
    const line = fc.stringMatching(/^[a-zä€\r ]{0,8}$/)
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat(6)), fc.boolean(), async (lines, sizes, ended) => {
        const text = lines.join('\n') + (ended ? '\n' : '')
        const expected = text === '' ? [] : text.replace(/\n$/, '').split('\n')
        expect(await linesOf(cut(Buffer.from(text), sizes))).toEqual(expected)
      }),
    )
  })

  test('a line that is too long is reported by its number, and the next one is intact', async () => {
    const text = Buffer.from(`${'x'.repeat(10)}\nshort\n${'y'.repeat(11)}\n${'z'.repeat(50)}`)
    expect(await linesOf(cut(text, [3, 3, 3, 3, 30]), 10)).toEqual(['x'.repeat(10), 'short', undefined, undefined])
  })

  test('a line without end is not kept in memory', async () => {
    const chunk = new Uint8Array(1024 * 1024).fill(0x78)
    let most = 0
    const endless = (async function* () {
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 300; i++) {
        yield chunk.slice()
        if (i % 50 === 0) globalThis.gc?.()
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }
    })()
    const found = []
    for await (const lines of readLines(endless, 2 * 1024 * 1024)) found.push(...lines)
    expect(found).toEqual([{ number: 1, bytes: undefined }])
    expect(most).toBeLessThan(200 * 1024 * 1024)
  })
})
